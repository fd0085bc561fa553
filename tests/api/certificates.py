"""Certificates for tests, made with openssl."""
import subprocess

LEAF = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
BETWEEN = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=keyCertSign\n"


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


class Authority:
    """Certificates as a small authority gives them: a root that clients trust, one between, and leaves."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0
        self.root = folder / "root.pem"
        self._request("root", "/CN=root of tests")
        openssl("req", "-x509", "-key", folder / "root.key", "-subj", "/CN=root of tests", "-days", 30,
                "-out", self.root, "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
        self._request("between", "/CN=between")
        self._sign("between", "root", BETWEEN, 30)

    def _request(self, name, subject):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.folder / f"{name}.key")
        openssl("req", "-new", "-key", self.folder / f"{name}.key", "-subj", subject,
                "-out", self.folder / f"{name}.csr")  # fmt: skip

    def _sign(self, name, by, extensions, days):
        (self.folder / "extensions").write_text(extensions)
        openssl("x509", "-req", "-in", self.folder / f"{name}.csr", "-CA", self.folder / f"{by}.pem",
                "-CAkey", self.folder / f"{by}.key", "-CAcreateserial", "-days", days,
                "-extfile", self.folder / "extensions", "-out", self.folder / f"{name}.pem")  # fmt: skip

    def issue(self, days=30):
        """The texts of a certificate with its chain, and of its key."""
        self.n += 1
        name = f"leaf{self.n}"
        self._request(name, "/CN=softdiff")
        self._sign(name, "between", LEAF, days)
        chain = [(self.folder / f"{part}.pem").read_text() for part in (name, "between")]
        return "".join(chain), (self.folder / f"{name}.key").read_text()


class Files:
    """The two files that the daemon reads."""

    def __init__(self, folder, pair):
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        self.flags = ("--tls-cert", self.certificate, "--tls-key", self.key)
        self.write(*pair)

    def write(self, certificate, key):
        self.certificate.write_text(certificate)
        self.key.write_text(key)
