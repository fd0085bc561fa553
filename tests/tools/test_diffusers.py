"""UNet2DModels of diffusers, by diffusers_unet.py and softdiff-convert import: what they predicted there they
predict here, however their weights are stored, and what would not is refused by its name."""

import json
import subprocess
import sys
import unittest.mock

import numpy
import pytest
import safetensors_file
import torch_file
import unets
from unets import BETAS, UNET, diffusers_unet, vectors

SCHEDULER = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
STEM = "diffusion_pytorch_model"
weights = pytest.fixture(unets.weights, scope="module")


def put(path, tensors):
    """By the name's end."""
    if path.suffix == ".bin":
        torch_file.write(path, tensors)
    else:
        kinds = {"<f4": "F32", "<f2": "F16", "<u2": "BF16"}
        plain = {k: (kinds[v.dtype.str], list(v.shape), v.tobytes()) for k, v in tensors.items()}
        safetensors_file.join(path, plain, {"format": "pt"})


def put_parts(folder, tensors, infix, end):
    """Two parts, and what lists them."""
    names = sorted(tensors)
    parts = {f"{STEM}{infix}-0000{i + 1}-of-00002.{end}": names[i::2] for i in range(2)}
    for part, its in parts.items():
        put(folder / part, {name: tensors[name] for name in its})
    listed = {name: part for part, its in parts.items() for name in its}
    (folder / f"{STEM}.{end}.index{infix}.json").write_text(json.dumps({"weight_map": listed}))


def read(folder, *arguments):
    """What the program says at its end when it fails; None when it does not."""
    given = ["diffusers_unet.py", str(folder), str(folder / "weights.safetensors"), *arguments]
    try:
        with unittest.mock.patch.object(sys, "argv", given):
            return diffusers_unet.main()
    except SystemExit as error:
        assert not (folder / "weights.safetensors").exists()
        assert isinstance(error.code, str) and "\n" not in error.code
        return error.code


@pytest.fixture
def pipeline(tmp_path, weights):
    """A folder as diffusers writes it."""

    def write(change=None, scheduler=None, store=None):
        (tmp_path / "unet").mkdir()
        (tmp_path / "scheduler").mkdir()
        (tmp_path / "unet/config.json").write_text(json.dumps(UNET | (change or {})))
        if scheduler is not False:
            (tmp_path / "scheduler/scheduler_config.json").write_text(json.dumps(SCHEDULER | (scheduler or {})))
        if store:
            store(tmp_path / "unet", weights)
        else:
            put(tmp_path / f"unet/{STEM}.safetensors", weights)
        return tmp_path

    return write


OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def of_old_names(folder, tensors):
    """And with convolutions where there are linear layers now, in the folder itself."""
    renamed = {}
    for name, value in tensors.items():
        for new, was in OLD.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{was}.")
        renamed[name] = value
    put(folder / f"{STEM}.bin", renamed)


STORES = {
    "a .bin, of old names": of_old_names,
    "parts": lambda folder, tensors: put_parts(folder, tensors, "", "safetensors"),
    "parts of a variant, a .bin": lambda folder, tensors: put_parts(folder, tensors, ".ema", "bin"),
    "a variant": lambda folder, tensors: put(folder / f"{STEM}.ema.safetensors", tensors),
}


@pytest.mark.parametrize("store", [None, *STORES])
def test_a_unet_of_diffusers_predicts_what_it_did_there(pipeline, program, build_dir, tmp_path, store):
    assert read(pipeline(store=STORES.get(store))) is None
    model = tmp_path / "model.safetensors"
    done = subprocess.run(
        [program("softdiff-convert"), "import", tmp_path / "weights.safetensors", model],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    golden = vectors.golden("ddpm_original.io")
    kept = numpy.cumprod(1 - BETAS)[437]
    a, sigma = numpy.sqrt(kept), 0.5 * numpy.sqrt(1 - kept)
    x, phi = (golden[key].transpose(0, 2, 3, 1) for key in ("x", "phi"))
    x_t = ((2 * x - 1 + a) / 2).astype("<f4")
    done = subprocess.run(
        [build_dir / "tests/tools/denoise_numbers", model, repr(437 / 999)],
        input=x_t.tobytes(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    h = numpy.frombuffer(done.stdout, "<f4").reshape(x.shape).astype(float)
    assert numpy.abs((x_t - a * h) / sigma - phi).max() < 1e-4
    assert safetensors_file.raw(model)[1]["provenance"]["imported_from"].startswith("UNet2DModel")


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample", "v_prediction.zero_snr"])
def test_clean_pictures_are_those_of_its_scheduler(pipeline, program, build_dir, tmp_path, kind):
    """Whether its network finds the noise, the velocity or the picture, to the step that is nothing but noise."""
    change = {"prediction_type": kind.split(".")[0], "rescale_betas_zero_snr": kind.endswith("zero_snr")}
    assert read(pipeline(scheduler=change)) is None
    model = tmp_path / "model.safetensors"
    subprocess.run([program("softdiff-convert"), "import", tmp_path / "weights.safetensors", model], check=True)
    schedule = safetensors_file.raw(model)[1]["schedule"]["level"]["value"]
    z = 2 * vectors.golden("ddpm_original.io")["x"].astype(float) - 1
    pictures = vectors.golden("ddpm_pictures")
    for t in (437, 999):
        x_t = ((z + schedule[t]) / 2).transpose(0, 2, 3, 1).astype("<f4")
        done = subprocess.run([build_dir / "tests/tools/denoise_numbers", model, repr(t / 999)], input=x_t.tobytes(),
                              capture_output=True, check=True)  # fmt: skip
        h = numpy.frombuffer(done.stdout, "<f4").reshape(x_t.shape).transpose(0, 3, 1, 2).astype(float)
        want = pictures[f"{kind}.{t}"]
        assert numpy.abs(2 * h - 1 - want).max() < 1e-4 * max(1, numpy.abs(want).max()), t
    assert (schedule[999] == 0) == kind.endswith("zero_snr")
    done = subprocess.run([program("softdiff-sample"), model, "--grid", tmp_path / "grid.png", "--nfe", "3"],
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "change, scheduler, text",
    [
        ({"attention_head_dim": 8}, {}, '"attention_head_dim" is 8'),
        ({"norm_eps": 1e-5}, {}, '"norm_eps" is 1e-05'),
        ({"down_block_types": ["SkipDownBlock2D", "AttnSkipDownBlock2D"]}, {}, "SkipDownBlock2D"),
        ({"up_block_types": ["UpBlock2D", "AttnUpBlock2D"]}, {}, "do not mirror"),
        ({"layers_per_block": 2}, {}, "there is no down_blocks.0.resnets.1"),
        ({"downsample_padding": 1}, {}, '"downsample_padding" is 1'),
        ({"norm_num_groups": 16}, {}, '"norm_num_groups" is 16'),
        ({}, {"prediction_type": "flow"}, 'it predicts "flow", not epsilon, v_prediction, sample'),
        ({}, {"rescale_betas_zero_snr": True}, "its last step is nothing but noise"),
        ({}, {"beta_schedule": "sigmoid"}, "sigmoid"),
        ({}, {"_class_name": "ScoreSdeVeScheduler"}, "ScoreSdeVeScheduler"),
        ({}, {"num_train_timesteps": 500}, "500 steps, not 1000"),
        ({}, {"trained_betas": [0.1] * 50}, "50 steps, not 1000"),
        ({}, {"beta_start": None}, "its configuration has no, or no such"),
        ({"_class_name": "UNet2DConditionModel"}, {}, "UNet2DConditionModel"),
        ({"num_class_embeds": 10}, {}, '"num_class_embeds" is 10'),
        ({"block_out_channels": None}, {}, "its configuration has no, or no such"),
    ],
)
def test_other_unets_are_refused_by_what_they_have(pipeline, change, scheduler, text):
    assert text in read(pipeline(change, scheduler))


def test_without_a_scheduler_the_betas_are_those_of_ho_et_al(pipeline, capsys):
    folder = pipeline(scheduler=False)
    assert read(folder) is None and "the betas are those of Ho et al. 2020" in capsys.readouterr().out
    metadata = safetensors_file.read(folder / "weights.safetensors")[1]
    assert json.loads(metadata["process"])["betas"] == pytest.approx(list(BETAS), abs=0, rel=1e-12)


def test_weights_of_16_bits_are_read(pipeline, weights, tmp_path):
    def store(folder, tensors):
        put(folder / f"{STEM}.fp16.safetensors", {k: v.astype("<f2") for k, v in tensors.items()})
        upper = {k: (v.view("<u4") >> 16).astype("<u2") for k, v in tensors.items()}
        put(folder / f"{STEM}.bf16.bin", upper)

    pipeline(store=store)
    assert "there are the variants bf16, fp16 (--variant)" in read(tmp_path)
    assert f'there is no "{STEM}.ema"' in read(tmp_path, "--variant", "ema")
    for variant, bits in (("fp16", 11), ("bf16", 8)):
        assert read(tmp_path, "--variant", variant) is None
        got = safetensors_file.read(tmp_path / "weights.safetensors")[0]["all_modules.2.weight"]
        want = weights["conv_in.weight"].reshape(-1)
        assert 0 < numpy.abs(numpy.array(got) / want - 1).max() <= 2.0 ** (1 - bits)


def cut(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1000])


def begins_well(folder, name):
    (folder / name).write_bytes(b"PKabcdefgh\n.")  # an archive's first bytes; to a pickle "P" is a line of text


def away(folder, name):
    (folder / name).unlink()


def outside(folder, name):
    (folder / name).write_text(json.dumps({"weight_map": {"a": "../../a.bin"}}))


def no_json(folder, name):
    (folder / name).write_text("{")


INDEX = f"{STEM}.safetensors.index.json"


@pytest.mark.parametrize(
    "store, harm, name, text",
    [
        (None, cut, f"{STEM}.safetensors", "is cut off"),
        (None, away, f"{STEM}.safetensors", f'there is no "{STEM}" in'),
        (None, away, "config.json", 'config.json": No such file or directory'),
        (None, no_json, "config.json", "is no JSON"),
        ("a .bin, of old names", cut, f"{STEM}.bin", "is not what torch writes, or damaged"),
        ("a .bin, of old names", begins_well, f"{STEM}.bin", "is not what torch writes, or damaged"),
        ("parts", away, f"{STEM}-00002-of-00002.safetensors", "No such file or directory"),
        ("parts", outside, INDEX, "lists files that are not beside it"),
        ("parts", no_json, INDEX, "is no JSON"),
    ],
)
def test_what_is_damaged_is_named(pipeline, store, harm, name, text):  # pylint: disable=too-many-arguments
    folder = pipeline(store=STORES.get(store))
    harm(folder / "unet", name)
    assert text in read(folder)
