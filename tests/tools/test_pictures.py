"""Pictures of a data set are what viewers show: against Pillow's rendering of the same files."""

import io
import struct
import subprocess
import zlib

import icc
import numpy
import pictures
import pytest
from PIL import Image, ImageCms, ImageOps

ORIENTATION = 0x112


@pytest.fixture
def decode(build_dir):
    """The pixels that our programs see, [h,w,3]."""

    def run(path):
        program = build_dir / "tests" / "tools" / "decode_picture"
        done = subprocess.run([program, path], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        size, pixels = done.stdout.split(b"\n", 1)
        w, h = map(int, size.split())
        return numpy.frombuffer(pixels, numpy.uint8).reshape(h, w, 3)

    return run


def colors(w=24, h=16):
    """All kinds of colours, smooth, so that a JPEG hardly changes them."""
    y, x = numpy.mgrid[0:h, 0:w]
    pixels = numpy.stack([255 * x / (w - 1), 255 * y / (h - 1), 255 - 128 * x / (w - 1)], -1)
    return pixels.round().astype(numpy.uint8)


def far(a, b):
    """The largest difference of two pictures."""
    assert a.shape == b.shape
    return int(abs(a.astype(int) - b.astype(int)).max())


def on_white(image):
    image = image.convert("RGBA")
    return numpy.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image))[..., :3]


def to_srgb(image):
    """As a colour-managed viewer does it."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    srgb = ImageCms.createProfile("sRGB")
    return numpy.asarray(ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_orientation(decode, tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x10F] = "a camera"
    exif[ORIENTATION] = orientation
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(colors()).save(path, exif=exif, quality=95, subsampling=0)
    with Image.open(path) as image:
        assert image.getexif()[ORIENTATION] == orientation
        wanted = numpy.asarray(ImageOps.exif_transpose(image))
    got = decode(path)
    assert got.shape == ((24, 16, 3) if orientation > 4 else (16, 24, 3))
    assert far(got, wanted) <= 1


def test_orientation_of_either_byte_order(decode, tmp_path):
    for order, head in ((">", b"MM\0*"), ("<", b"II*\0")):
        entry = struct.pack(order + "HHIHH", ORIENTATION, 3, 1, 6, 0)
        exif = head + struct.pack(order + "IH", 8, 1) + entry + bytes(4)
        path = tmp_path / "x.png"
        write_png(path, 8, 2, colors().tobytes(), 24, 16, [(b"eXIf", exif)])
        assert far(decode(path), numpy.rot90(colors(), -1)) == 0


def upright(path):
    with Image.open(path) as image:
        return numpy.asarray(ImageOps.exif_transpose(image))


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x10F] = "a camera"
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def xmp_of(orientation, as_element=False):
    attribute, element = f' tiff:Orientation="{orientation}"', ""
    if as_element:
        attribute, element = "", f"<tiff:Orientation>{orientation}</tiff:Orientation>"
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{attribute}>{element}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    )


def raw_profile(data, name="exif"):
    """As ImageMagick writes it."""
    digits = data.hex()
    lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    return f"\n{name}\n{len(data):8}\n{lines}\n".encode()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_text(decode, tmp_path, orientation):
    """Where a PNG has no eXIf: what ImageMagick writes into text, then XMP."""
    path, other = tmp_path / "x.png", 1 + orientation % 8
    hexed = raw_profile(b"Exif\0\0" + exif_of(orientation).removeprefix(b"Exif\0\0"))
    key = b"Raw profile type exif\0"
    for chunks in (
        [(b"tEXt", key + hexed)],
        [(b"zTXt", key + b"\0" + zlib.compress(hexed))],
        [(b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(hexed))],
        [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_of(orientation).encode())],
        [(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp_of(orientation, True).encode()))],
        [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_of(other).encode()), (b"tEXt", key + hexed)],
    ):
        for after in ((), chunks):
            before = () if after else chunks
            write_png(path, 8, 2, colors().tobytes(), 24, 16, before, after)
            wanted = upright(path)
            got = decode(path)
            if b"APP1" not in chunks[0][1]:  # which Pillow does not know
                assert far(got, wanted) == 0, chunks[0]
            assert got.shape == ((24, 16, 3) if orientation > 4 else (16, 24, 3))
    exif = exif_of(orientation).removeprefix(b"Exif\0\0")
    chunks = [(b"eXIf", exif), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_of(other).encode())]
    write_png(path, 8, 2, colors().tobytes(), 24, 16, chunks)
    assert far(decode(path), upright(path)) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_xmp_of_a_jpeg(decode, tmp_path, orientation):
    path, name = tmp_path / "x.jpg", b"http://ns.adobe.com/xap/1.0/\0"
    image = Image.fromarray(colors())
    for as_element in (False, True):
        data = name + xmp_of(orientation, as_element).encode()
        marker = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
        image.save(path, quality=95, subsampling=0)
        path.write_bytes(path.read_bytes()[:2] + marker + path.read_bytes()[2:])
        assert far(decode(path), upright(path)) <= 1
        # Exif wins.
        image.save(path, quality=95, subsampling=0, exif=exif_of(1 + orientation % 8))
        path.write_bytes(path.read_bytes()[:2] + marker + path.read_bytes()[2:])
        assert far(decode(path), upright(path)) <= 1


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"\nexif\n", b"\nexif\n  9\n4", b"\nexif\n 8\nzz", b"\nexif\n 99\n457869660000" + b"4d4d002a" * 3,
     b"\nexif\n 8\n" + b"45" * 100000],
    ids=["empty", "line", "cut", "odd", "none", "short", "long"],
)  # fmt: skip
def test_text_that_is_no_profile_is_passed_over(decode, tmp_path, text):
    path = tmp_path / "x.png"
    write_png(path, 8, 2, colors().tobytes(), 24, 16, [(b"tEXt", b"Raw profile type exif\0" + text)])
    assert far(decode(path), colors()) == 0
    for xmp in (b"", b"tiff:Orientation", b'tiff:Orientation="', b'tiff:Orientation="9"', b'tiff:Orientation="66"'):
        chunk = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
        write_png(path, 8, 2, colors().tobytes(), 24, 16, [chunk])
        assert far(decode(path), colors()) == 0


def write_png(path, depth, kind, data, w, h, chunks=(), after=()):
    """A PNG of any type, with chunks before the pixels and after them."""
    row = len(data) // h
    lines = b"".join(b"\0" + data[i * row : (i + 1) * row] for i in range(h))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + pictures.chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, 0))
        + b"".join(pictures.chunk(*each) for each in chunks)
        + pictures.chunk(b"IDAT", zlib.compress(lines))
        + b"".join(pictures.chunk(*each) for each in after)
        + pictures.chunk(b"IEND", b"")
    )


def test_transparency(decode, tmp_path):
    path = tmp_path / "x.png"
    alpha = (numpy.mgrid[0:16, 0:24].sum(0) * 255 / 38).astype(numpy.uint8)
    rgba = Image.fromarray(numpy.dstack([colors(), alpha]))
    for image in (rgba, rgba.convert("LA"), rgba.convert("P", palette=Image.Palette.ADAPTIVE)):
        image.save(path)
        with Image.open(path) as written:
            assert written.mode == image.mode
            wanted = on_white(written)
        assert far(decode(path), wanted) <= 1, image.mode
    # A palette with several degrees of transparency, and single colours that stand for holes.
    palette = rgba.convert("RGB").quantize(16)
    palette.save(path, transparency=bytes(range(0, 256, 16)))
    with Image.open(path) as written:
        assert far(decode(path), on_white(written)) <= 1
    Image.new("RGB", (3, 2), (1, 2, 3)).save(path, transparency=(1, 2, 3))
    assert decode(path).min() == 255
    Image.new("L", (3, 2), 7).save(path, transparency=7)
    assert decode(path).min() == 255
    Image.new("1", (3, 2), 0).save(path, transparency=0)
    assert decode(path).min() == 255


def test_16_bits(decode, tmp_path):
    path, values = tmp_path / "x.png", numpy.linspace(0, 65535, 24 * 16).round().astype(">u2")
    wanted = (values.astype(float) / 257).round().reshape(16, 24, 1)
    write_png(path, 16, 0, values.tobytes(), 24, 16)
    with Image.open(path) as image:
        assert image.mode == "I;16"
    assert far(decode(path), numpy.repeat(wanted, 3, 2)) == 0
    deep = numpy.stack([values, values[::-1], values], -1).astype(">u2")
    write_png(path, 16, 2, deep.tobytes(), 24, 16)
    assert far(decode(path), (deep.astype(float) / 257).round().reshape(16, 24, 3)) == 0
    half = numpy.stack([values, numpy.full_like(values, 0x8080)], -1).astype(">u2")
    write_png(path, 16, 4, half.tobytes(), 24, 16)
    assert far(decode(path), numpy.repeat(255 - (255 - wanted) * 128 / 255, 3, 2)) <= 1


def test_profiles(decode, tmp_path):
    path = tmp_path / "x.png"
    image = Image.fromarray(colors())
    image.save(path, icc_profile=icc.wide_gamut())
    assert far(decode(path), colors()) > 20
    with Image.open(path) as written:
        assert far(decode(path), to_srgb(written)) <= 1
    image.convert("L").save(path, icc_profile=icc.grey(1.0))
    with Image.open(path) as written:
        assert far(decode(path), to_srgb(written)) <= 1
    path = tmp_path / "x.jpg"
    image.save(path, icc_profile=icc.wide_gamut(), quality=95, subsampling=0)
    with Image.open(path) as written:
        assert far(decode(path), to_srgb(written)) <= 2
    # Grey numbers with a profile of three colours are that profile's greys.
    image.convert("L").save(path, icc_profile=icc.wide_gamut(), quality=95)
    with Image.open(path) as written:
        wide = written.convert("RGB")
        wide.info["icc_profile"] = icc.wide_gamut()
        assert far(decode(path), to_srgb(wide)) <= 1


def test_profiles_with_transparency_and_16_bits(decode, tmp_path):
    path, deep = tmp_path / "x.png", colors().astype(int) * 257
    deep = numpy.dstack([deep, numpy.full((16, 24, 1), 0x4040)]).astype(">u2")
    chunk = (b"iCCP", b"x\0\0" + zlib.compress(icc.wide_gamut()))
    write_png(path, 16, 6, deep.tobytes(), 24, 16, [chunk])
    image = Image.fromarray(colors())
    image.info["icc_profile"] = icc.wide_gamut()
    image = Image.fromarray(to_srgb(image))
    image.putalpha(0x40)
    assert far(decode(path), on_white(image)) <= 1


def test_a_profile_that_means_srgb_changes_nothing(decode, tmp_path):
    path = tmp_path / "x.png"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(colors()).save(path, icc_profile=srgb)
    assert far(decode(path), colors()) == 0


@pytest.mark.parametrize(
    "profile",
    [b"", b"no profile", icc.wide_gamut()[:200], icc.cmyk()],
    ids=["empty", "text", "cut", "of other colours"],
)
def test_profiles_that_are_none_are_passed_over(decode, tmp_path, profile):
    path = tmp_path / "x.jpg"
    Image.fromarray(colors()).save(path, icc_profile=profile, quality=95, subsampling=0)
    with Image.open(path) as written:
        assert far(decode(path), numpy.asarray(written)) <= 1


def encode_srgb(light):
    light = numpy.clip(light, 0, 1)
    return 255 * numpy.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def test_gamma_and_chromaticities(decode, tmp_path):
    path = tmp_path / "x.png"
    linear = (b"gAMA", struct.pack(">I", 100000))
    write_png(path, 8, 2, colors().tobytes(), 24, 16, [linear])
    assert far(decode(path), encode_srgb(colors() / 255).round()) <= 1
    # The sRGB chunk wins; what says sRGB in other words changes nothing.
    write_png(path, 8, 2, colors().tobytes(), 24, 16, [(b"sRGB", b"\0"), linear])
    assert far(decode(path), colors()) == 0
    usual = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    chunks = [(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", struct.pack(">8I", *usual))]
    write_png(path, 8, 2, colors().tobytes(), 24, 16, chunks)
    assert far(decode(path), colors()) == 0
    # Red and green change places: so do the colours.
    swapped = usual[:2] + usual[4:6] + usual[2:4] + usual[6:]
    chunks[1] = (b"cHRM", struct.pack(">8I", *swapped))
    write_png(path, 8, 2, colors().tobytes(), 24, 16, chunks)
    wanted = encode_srgb((colors()[..., [1, 0, 2]] / 255) ** 2.2).round()
    assert far(decode(path), wanted) <= 2


LINEAR = {  # light of numbers, by the code of transfer characteristics (H.273)
    1: lambda v: numpy.where(v < 0.081, v / 4.5, ((v + 0.099) / 1.099) ** (1 / 0.45)),
    4: lambda v: v**2.2,
    5: lambda v: v**2.8,
    8: lambda v: v,
    13: lambda v: numpy.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4),
}
PRIMARIES = {
    1: (0.64, 0.33, 0.30, 0.60, 0.15, 0.06),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}


def to_xyz(primaries):
    """The matrix of light in these primaries to XYZ, white is D65."""
    x, y = numpy.array(primaries[::2]), numpy.array(primaries[1::2])
    columns = numpy.stack([x / y, numpy.ones(3), (1 - x - y) / y])
    white = numpy.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * numpy.linalg.solve(columns, white)


@pytest.mark.parametrize("primaries", PRIMARIES)
@pytest.mark.parametrize("transfer", LINEAR)
def test_code_points(decode, tmp_path, primaries, transfer):
    """cICP, against the formulas of H.273; it wins over everything else that is said of colours."""
    path, chunk = tmp_path / "x.png", (b"cICP", bytes([primaries, transfer, 0, 1]))
    light = LINEAR[transfer](colors() / 255)
    matrix = numpy.linalg.solve(to_xyz(PRIMARIES[1]), to_xyz(PRIMARIES[primaries]))
    wanted = encode_srgb(light @ matrix.T).round()
    others = ([], [(b"sRGB", b"\0")], [(b"gAMA", struct.pack(">I", 100000))],
              [(b"iCCP", b"x\0\0" + zlib.compress(icc.wide_gamut()))])  # fmt: skip
    for other in others:
        write_png(path, 8, 2, colors().tobytes(), 24, 16, [chunk, *other])
        got = decode(path)
        # Little CMS computes with 16 bits, of which few are left where a curve is steep.
        assert far(got, wanted) <= (0 if (primaries, transfer) == (1, 13) else 4)
        assert abs(got.astype(float) - wanted).mean() < 0.5
    if primaries == 1:
        write_png(path, 8, 0, colors()[..., 0].tobytes(), 24, 16, [chunk])
        assert far(decode(path), encode_srgb(LINEAR[transfer](colors()[..., [0, 0, 0]] / 255)).round()) <= 1


def test_code_points_that_say_nothing(decode, tmp_path):
    path = tmp_path / "x.png"
    write_png(path, 8, 2, colors().tobytes(), 24, 16, [(b"cICP", bytes([2, 2, 0, 1]))])
    assert far(decode(path), colors()) == 0


@pytest.mark.parametrize(
    "codes",
    [(9, 16, 0, 1), (9, 18, 0, 1), (1, 13, 1, 1), (1, 13, 0, 0), (0, 13, 0, 1), (1, 0, 0, 1), (255, 255, 0, 1), (1,)],
)
def test_code_points_that_are_not_supported(build_dir, tmp_path, codes):
    """Light of HDR is refused rather than shown as something else; that is a reason to skip a picture."""
    path = tmp_path / "x.png"
    write_png(path, 8, 2, colors().tobytes(), 24, 16, [(b"cICP", bytes(codes))])
    program = build_dir / "tests" / "tools" / "decode_picture"
    done = subprocess.run([program, path], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "its colours (cICP" in done.stderr
    assert len(codes) < 4 or "cICP " + ", ".join(map(str, codes)) in done.stderr


def test_cmyk(decode, tmp_path):
    path = tmp_path / "x.jpg"
    image = Image.fromarray(numpy.dstack([colors(), 255 - colors()[..., :1]]), mode="CMYK")
    image.save(path, quality=95, subsampling=0)
    with Image.open(path) as written:
        assert written.mode == "CMYK"
        assert far(decode(path), numpy.asarray(written.convert("RGB"))) <= 2


def test_cmyk_profile(decode, tmp_path):
    """The 16 corners of the profile's table, which versions of Little CMS agree on."""
    path = tmp_path / "x.jpg"
    inks = numpy.array([[corner >> shift & 1 for shift in (3, 2, 1, 0)] for corner in range(16)])
    patches = numpy.kron(inks.reshape(4, 4, 4) * 255, numpy.ones((8, 8, 1))).astype(numpy.uint8)
    Image.fromarray(patches, mode="CMYK").save(path, quality=100, icc_profile=icc.cmyk())
    with Image.open(path) as written:
        wanted = to_srgb(written)
        assert far(wanted, numpy.asarray(written.convert("RGB"))) > 20
    assert far(decode(path)[4::8, 4::8], wanted[4::8, 4::8]) <= 2


def test_other_formats_are_named(build_dir, tmp_path):
    program = build_dir / "tests" / "tools" / "decode_picture"
    for kind, name in (("webp", "WebP"), ("gif", "GIF"), ("bmp", "BMP"), ("tiff", "TIFF"),
                       ("avif", "AVIF"), ("jp2", "JPEG 2000")):
        path = tmp_path / f"x.{kind}"
        Image.fromarray(colors()).save(path)
        path = path.rename(tmp_path / "x.png")
        done = subprocess.run([program, path], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr == f"it is {name}, not PNG or JPEG\n"
