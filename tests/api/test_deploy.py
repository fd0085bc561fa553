"""The files of config/deploy: their own checkers pass them, and they speak of what there is."""
import json
import pathlib
import re
import shutil
import subprocess
import sys

import prometheus
import pytest
import requests
import servers
import yaml
from certificates import Authority, Files

DEPLOY = pathlib.Path(__file__).resolve().parent.parent.parent / "config/deploy"
METRIC = re.compile(r"\b(?:softdiff|process)_[a-z_]+\b")


def run(*command, env=None):
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def expressions():
    """All that the dashboard, the rules and the autoscaler ask of Prometheus, with where it stands."""
    for panel in json.loads((DEPLOY / "grafana/softdiff.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"]
    rules = (DEPLOY / "prometheus/alerts.yml").read_text()
    for name, text in re.findall(r"- (?:alert|record): (\S+)\n(.*?)(?=\n      - |\Z)", rules, re.DOTALL):
        yield name, text.split("annotations:")[0].split("runbook:")[0]
    scaling = (DEPLOY / "kubernetes/scaling.yaml").read_text()
    yield "scaling", re.search(r"query: >-\n(.*?)threshold", scaling, re.DOTALL)[1]


def alerts():
    return re.findall(r"- alert: (\w+)", (DEPLOY / "prometheus/alerts.yml").read_text())


def test_metrics_that_are_named_exist(start, tmp_path):
    files = Files(tmp_path, Authority(tmp_path).issue())
    daemon = start(*files.flags, models=("faces",))
    daemon.url = daemon.url.replace("http:", "https:")
    answer = requests.get(daemon.url + "/v1/models/faces/samples/1.png?nfe=1", verify=tmp_path / "root.pem", timeout=60)
    assert answer.status_code == 200
    families = prometheus.read(requests.get(daemon.admin + "/metrics", timeout=60).text)
    known = {name for family in families.values() for name, _ in family.samples} | families.keys()
    named = 0
    for where, text in expressions():
        # Labels and what rules record are named otherwise.
        for name in METRIC.findall(re.sub(r"job:[a-z0-9_:]+|\{[^}]*\}", "", text)):
            named += 1
            assert name in known, f"{where}: {name}"
    assert named > 45


def test_every_alert_has_a_runbook_and_a_test():
    runbook = (DEPLOY / "README.md").read_text().split("## Runbook")[1]
    sections = re.findall(r"^### (\w+)$", runbook, re.MULTILINE)
    assert sections == alerts() and len(sections) >= 13
    tests = (DEPLOY / "prometheus/alerts_test.yml").read_text()
    rules = (DEPLOY / "prometheus/alerts.yml").read_text()
    for name in alerts():
        assert f"README.md#{name.lower()}\n" in rules
        fired = re.findall(rf"alertname: {name}\n\s+exp_alerts:", tests)
        assert fired, f"nothing shows when {name} fires"
        assert re.search(rf"alertname: {name}}}", tests), f"nothing shows when {name} does not"


def test_the_rules_are_what_they_should_be(tmp_path):
    promtool, env = servers.program("promtool")
    folder = DEPLOY / "prometheus"
    shutil.copy(folder / "alerts.yml", tmp_path)
    for name in ("prometheus.yml", "kubernetes.yml"):
        text = (folder / name).read_text()
        assert "job_name: softdiff\n" in text  # which the rules are about
        # Debian's Prometheus is built without what finds pods: how they are named is read all the same.
        text = text.replace("kubernetes_sd_configs:\n      - role: pod", "static_configs:\n      - targets: [a]")
        (tmp_path / name).write_text(text)
        assert "1 rule files" in run(promtool, "check", "config", tmp_path / name, env=env)
    run(promtool, "test", "rules", folder / "alerts_test.yml", env=env)


def test_the_metrics_are_what_prometheus_reads(start):
    promtool, env = servers.program("promtool")
    daemon = start()
    daemon.png(seed=1, nfe=1)
    text = requests.get(daemon.admin + "/metrics", timeout=60).text
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_dashboard_asks_what_can_be_answered(tmp_path):
    """As rules, which the checker of rules reads."""
    promtool, env = servers.program("promtool")
    asked = [text.replace("$__rate_interval", "1m").replace("$instance", ".*")
             for where, text in expressions() if where.startswith("panel")]  # fmt: skip
    rules = [{"record": f"asked:{i}", "expr": text} for i, text in enumerate(asked)]
    path = tmp_path / "rules.yml"  # JSON is YAML
    path.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    assert f"{len(asked)} rules found" in run(promtool, "check", "rules", path, env=env)
    assert len(asked) > 30


def test_the_unit_is_hardened(program, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd on this machine")
    service = (DEPLOY / "systemd/softdiffd.service").read_text()
    unit = tmp_path / "softdiffd.service"
    unit.write_text(service.replace("/usr/bin/softdiffd", str(program("softdiffd"))))
    shutil.copy(DEPLOY / "systemd/softdiffd.socket", tmp_path)
    said = run("systemd-analyze", "verify", unit, tmp_path / "softdiffd.socket")
    assert "softdiffd" not in said, said
    said = run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
    assert float(re.search(r"exposure level for softdiffd.service: ([\d.]+)", said)[1]) <= 1.8


def tool(name):
    """A program of the Python packages of tests/requirements.txt."""
    path = pathlib.Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"no {name} in this environment")
    return path


def test_compose_is_what_docker_reads():
    said = run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
    assert "ok" in said


def test_kubernetes_takes_the_manifests():
    said = run(tool("kubernetes-validate"), DEPLOY / "kubernetes/softdiff.yaml", DEPLOY / "kubernetes/jobs.yaml")
    assert said.count(" passed ") == 5, said


def test_the_manifests_keep_the_daemon_small():
    """What the operator's guide says of them."""
    text = (DEPLOY / "kubernetes/softdiff.yaml").read_text()
    for line in ("runAsNonRoot: true", "readOnlyRootFilesystem: true", "allowPrivilegeEscalation: false",
                 "capabilities: {drop: [ALL]}", "seccompProfile: {type: RuntimeDefault}",
                 "automountServiceAccountToken: false", "policyTypes: [Ingress, Egress]"):  # fmt: skip
        assert line in text
    grace = int(re.search(r"terminationGracePeriodSeconds: (\d+)", text)[1])
    delay = int(re.search(r"SOFTDIFF_DRAIN_DELAY, value: (\d+)s", text)[1])
    assert grace > delay + 25 + 5  # the default of --drain-timeout


def image_variables():
    """What the Dockerfile sets for all of its images."""
    text = (DEPLOY.parent.parent / "Dockerfile").read_text()
    blocks = re.findall(r"^ENV (?:.*\\\n)*.*", text, re.MULTILINE)
    found = [dict(re.findall(r"\b(SOFTDIFF_\w+)=(\S+)", block)) for block in blocks]
    assert len(found) == 2 and found[0] == found[1]
    return found[0]


def containers():
    """Every daemon of compose.yaml and of the manifests: where, its variables, the ports that others know."""
    for name, service in yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].items():
        if service["image"].startswith("softdiff:"):
            ports = [int(port.rsplit(":", 1)[1]) for port in service.get("ports", [])]
            yield f"compose.yaml {name}", service["environment"], ports
    for manifest in yaml.safe_load_all((DEPLOY / "kubernetes/softdiff.yaml").read_text()):
        if manifest["kind"] == "Deployment":
            container = manifest["spec"]["template"]["spec"]["containers"][0]
            variables = {entry["name"]: entry["value"] for entry in container["env"]}
            jobs = (DEPLOY / "kubernetes/jobs.yaml").read_text()
            shared = re.findall(r"set env deployment/softdiff (\w+)=(\S+)$", jobs, re.MULTILINE)
            assert len(shared) == 2
            yield "softdiff.yaml", variables | dict(shared), [port["containerPort"] for port in container["ports"]]


def test_containers_begin_with_settings_that_there_are(program):
    """Variables that are none are ignored: all of them must be told back, and the ports be listened on."""
    seen = 0
    for where, variables, ports in containers():
        variables = image_variables() | {name: text for name, text in variables.items() if name.startswith("SOFTDIFF_")}
        settings = json.loads(run(program("softdiffd"), "--print-config", env=variables))
        defaults = json.loads(run(program("softdiffd"), "--print-config", env={"SOFTDIFF_MODEL": "a=b"}))
        for name in variables:
            key = name.removeprefix("SOFTDIFF_").lower()
            assert key in settings and settings[key] != defaults[key], f"{where}: {name}"
        listening = {settings[key] for key in ("listen", "admin_listen")}
        assert {f"0.0.0.0:{port}" for port in ports} <= listening, where
        seen += 1
    assert seen >= 10
