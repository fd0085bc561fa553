"""softdiff-train as its users see it: what it writes, how it stops, goes on and fails."""

import contextlib
import hashlib
import json
import os
import re
import resource
import signal
import struct
import subprocess
import time

import pictures
import pytest
import safetensors_file


def files(folder):
    """None where there is no folder."""
    return {path.name: path.read_bytes() for path in folder.glob("*")}


@pytest.mark.sanitizers
@pytest.mark.threads
def test_a_run_leaves_what_it_promises(trainer):
    trainer.recipe["progress"]["grid_every"] = 6
    done = trainer("run")
    assert done.returncode == 0, done.stderr
    run = trainer.folder / "run"
    assert sorted(files(run)) == [
        "grid-000006.png",
        "log.jsonl",
        "model.safetensors",
        "start.safetensors",
        "state.safetensors",
    ]
    assert pictures.size(run / "grid-000006.png") == (8 * 18 - 2, 8 * 18 - 2)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["images"] for line in lines] == [4, 8, 12, 16, 20, 24]
    assert [line["lr"] for line in lines] == [0, 5e-4, 1e-3, 1e-3, 1e-3, 1e-3]
    for line in lines:
        assert len(line["loss_t"]) == 10
        assert line["loss"] > 0 and line["grad_norm"] > 0 and line["images_per_s"] > 0
        assert 0 <= line["idle"] < 1
        # Four stratified times: as many bins have examples, or fewer.
        assert 1 <= sum(value is not None for value in line["loss_t"]) <= 4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resume_is_exact(trainer, precision):
    first = trainer("through", "--precision", precision)
    if "cannot" in first.stderr and precision == "bf16" and "bf16" in first.stderr:
        pytest.skip(first.stderr)
    assert first.returncode == 0, first.stderr
    for steps in (3, 6):
        done = trainer("parts", "--precision", precision, "--steps", steps)
        assert done.returncode == 0, done.stderr
    assert "event=resumed step=3" in done.stderr
    through, parts = files(trainer.folder / "through"), files(trainer.folder / "parts")
    assert through["model.safetensors"] == parts["model.safetensors"]
    through, _ = safetensors_file.read(trainer.folder / "through" / "state.safetensors")
    parts, _ = safetensors_file.read(trainer.folder / "parts" / "state.safetensors")
    assert sorted(through) == ["adam.m", "adam.v", "ema", "weights"]
    for name, values in through.items():
        assert values.tobytes() == parts[name].tobytes(), name
    assert through["weights"] != through["ema"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_threads_do_not_change_a_training(trainer, precision):
    trainer.recipe["training"]["batch"] = 16
    runs = []
    for threads in (1, 2, 5):  # the last --threads counts
        done = trainer(f"t{threads}", "--precision", precision, "--threads", threads)
        if precision == "bf16" and "bf16 needs" in done.stderr:
            pytest.skip("no bf16 here")
        assert done.returncode == 0, done.stderr
        runs.append((trainer.folder / f"t{threads}" / "model.safetensors").read_bytes())
    assert runs[0] == runs[1] == runs[2]


def test_a_balanced_training_resumes_exactly(trainer):
    plain = trainer("plain")
    trainer.recipe["training"]["weight"] = "balanced"
    assert trainer("through").returncode == 0
    for steps in (3, 6):
        done = trainer("parts", "--steps", steps)
        assert done.returncode == 0, done.stderr
    states = [
        safetensors_file.read(trainer.folder / run / "state.safetensors")[0]
        for run in ("plain", "through", "parts")
    ]
    assert plain.returncode == 0
    assert states[1] == states[2]
    assert states[0]["weights"] != states[1]["weights"]
    # Untrained, every time counts as a loss of about 1, not as its 1/sigma^2: a smaller gradient.
    lines = [
        json.loads((trainer.folder / run / "log.jsonl").read_text().splitlines()[0])
        for run in ("plain", "through")
    ]
    assert lines[1]["grad_norm"] < 0.5 * lines[0]["grad_norm"]
    assert lines[1]["loss"] == pytest.approx(lines[0]["loss"], rel=0.5)


OBJECTIVE = {"look_ahead": 0.1, "residual": 0.1, "perturbation": 0.1, "colors": "alike"}


def test_every_objective_resumes_exactly(trainer, program):
    """All that a recipe can ask of the network at once, with a crash in between, and then drawn with."""
    trainer.recipe |= {"output": "scaled", "objective": OBJECTIVE}
    trainer.recipe["training"]["weight"] = "balanced"
    through = trainer("through")
    assert through.returncode == 0, through.stderr
    for steps in (3, 6):
        assert trainer("parts", "--steps", steps).returncode == 0
    states = [
        safetensors_file.read(trainer.folder / run / "state.safetensors")[0]
        for run in ("through", "parts")
    ]
    assert states[0] == states[1]
    done = subprocess.run(
        [
            program("softdiff-sample"),
            trainer.folder / "through" / "model.safetensors",
            "--grid",
            trainer.folder / "drawn.png",
            "-n",
            "2",
            "--nfe",
            "4",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trainer.recipe["objective"] = OBJECTIVE | {"look_ahead": 0.2}
    done = trainer("parts", "--steps", 8)
    assert done.returncode == 1 and '"objective.look_ahead" of the recipe' in done.stderr


def test_colours_need_pictures_with_colours(trainer):
    for i in range(12):
        pictures.write(trainer.data / f"{i}.png", 16, i, grey=True)
    trainer.recipe |= {"output": "residual", "objective": {"colors": "alike"}}
    done = trainer("run")
    assert done.returncode == 1, done.stderr
    assert '"objective.colors": the pictures have no or hardly any colour' in done.stderr


def test_beginning_with_another_model(trainer):
    assert trainer("first").returncode == 0
    first = trainer.folder / "first" / "model.safetensors"
    trainer.recipe["training"]["seed"] = 8
    done = trainer("second", "--from", first, "--steps", 1)  # whose learning rate is 0
    assert done.returncode == 0, done.stderr
    assert trainer("second", "--steps", 2).returncode == 0  # a resume knows it without the option
    weights, metadata = safetensors_file.read(trainer.folder / "second" / "start.safetensors")
    averaged, _ = safetensors_file.read(first)
    for name, values in averaged.items():
        if name.startswith("net."):
            assert weights[name].tobytes() == values.tobytes(), name
    for name in ("start", "model"):
        _, metadata = safetensors_file.read(trainer.folder / "second" / f"{name}.safetensors")
        assert json.loads(metadata["softdiff"])["provenance"]["from"] == first.name


def test_losses_that_stay_infinite_end_it(trainer):
    """What is not finite changes nothing, is told and counted, and does not go on for ever."""
    assert trainer("first", "--steps", 1).returncode == 0
    model = trainer.folder / "first" / "model.safetensors"
    raw = model.read_bytes()
    weights, _ = safetensors_file.read(model)
    for values in (weights[name].tobytes() for name in weights if name.startswith("net.")):
        raw = raw.replace(values, struct.pack("<f", 1e30) * (len(values) // 4))
    model.write_bytes(raw)
    done = trainer("second", "--from", model, "--steps", 100)
    assert done.returncode == 1
    assert done.stderr.count("event=skipped step=") == 20
    assert "20 steps in a row, up to 20, were skipped: loss " in done.stderr
    lines = [json.loads(line) for line in (trainer.folder / "second" / "log.jsonl").open()]
    assert [line["skipped"] for line in lines] == list(range(1, 20))
    assert all(line["loss"] is None and line["grad_norm_max"] is None for line in lines)
    assert files(trainer.folder / "second").keys() == {"log.jsonl", "start.safetensors"}


def test_weights_of_another_network_are_refused(trainer):
    assert trainer("first", "--steps", 1).returncode == 0
    trainer.recipe["architecture"]["nf"] = 8
    first = trainer.folder / "first" / "model.safetensors"
    done = trainer("second", "--from", first)
    assert done.returncode == 1
    assert 'tensor "net.all_modules.0.W" is ' in done.stderr
    assert not (trainer.folder / "second").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.sanitizers
def test_a_signal_saves(trainer, number):
    log = trainer.folder / "run" / "log.jsonl"
    trainer.recipe["progress"]["grid_every"] = 1000000
    process = subprocess.Popen(
        trainer.command("run", "--steps", 1000000), stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.02)
    process.send_signal(number)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 0, text
    assert "reason=signal" in text
    _, metadata = safetensors_file.read(trainer.folder / "run" / "state.safetensors")
    step = json.loads(metadata["softdiff_training"])["step"]
    assert step >= 1
    assert (trainer.folder / "run" / f"grid-{step:06}.png").exists()  # what it has come to
    done = trainer("run", "--steps", step + 1)
    assert done.returncode == 0, done.stderr
    assert f"event=resumed step={step}" in done.stderr


def test_hangups_that_are_ignored_stay_so(trainer):
    """As nohup wants it."""
    log = trainer.folder / "run" / "log.jsonl"
    process = subprocess.Popen(
        trainer.command("run", "--steps", 1000000),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    size = log.stat().st_size
    while process.poll() is None and log.stat().st_size == size:
        time.sleep(0.02)
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=60) == 0


def test_nobody_who_reads_is_no_reason_to_stop(trainer):
    process = subprocess.Popen(trainer.command("run", "--steps", 100), stderr=subprocess.PIPE)
    process.stderr.close()
    assert process.wait(timeout=110) == 0
    assert steps_of_log(trainer.folder / "run")[-1] == 100


SLOW_FIT = {"levels": "fit", "n_levels": 32, "level_min": 0.01, "level_max": 50, "candidates": 256}


@pytest.mark.parametrize("what", ["schedule", "prior", "wiener"])
def test_fitting_stops_at_once(trainer, what):
    """Fitting to pictures of this size takes minutes, or far longer than this test may."""
    side = 128
    for i in range(12):
        pictures.write(trainer.data / f"{i}.png", side, i)
    trainer.recipe["architecture"]["image_size"] = side
    trainer.recipe["corruption"]["half_size"] = side
    if what == "schedule":
        trainer.recipe["schedule"] = SLOW_FIT
    else:
        trainer.recipe["schedule"] = {"levels": [0.01, 5, 50]}
    process = subprocess.Popen(
        trainer.command("run"), stderr=subprocess.PIPE, text=True, bufsize=1
    )
    for line in process.stderr:
        if f"event=fitting what={what}" in line:
            break
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 0, text
    assert "reason=signal step=0 of=6" in text
    if what == "schedule":
        assert "event=fitted" not in text
        assert not files(trainer.folder / "run")


def stop_after(process, text, number=signal.SIGINT):
    """Stops it after that line; what else it said."""
    for line in process.stderr:
        if text in line:
            break
    process.send_signal(number)
    out, rest = process.communicate(timeout=60)
    return (out or "") + rest


@pytest.mark.parametrize(
    "what, number",
    [("trainer", signal.SIGINT), ("balance", signal.SIGTERM), ("balance", signal.SIGHUP)],
)
def test_preparing_stops_at_once(trainer, what, number):
    """Making 60 million weights takes seconds, balancing large pictures minutes."""
    side = 32 if what == "trainer" else 128
    nf = 128 if what == "trainer" else 32
    for i in range(12):
        pictures.write(trainer.data / f"{i}.png", side, i)
    trainer.recipe |= {"corruption": {"name": "vp"}, "schedule": {}, "output": "residual"}
    trainer.recipe["architecture"] |= {
        "image_size": side, "nf": nf, "ch_mult": [1, 2, 2, 2], "num_res_blocks": 4, "attn_resolutions": [16]
    }  # fmt: skip
    trainer.recipe["training"] |= {"batch": 32, "weight": "balanced"}
    for _ in range(3):  # where the machine halts before the signal, the seconds may be over
        process = subprocess.Popen(
            trainer.command("run"), stderr=subprocess.PIPE, text=True, bufsize=1
        )
        text = stop_after(process, f"event=preparing what={what}", number)
        assert process.returncode == 0, text
        assert "stopped before the first step" in text or "reason=signal step=0 of=6" in text
        assert not files(trainer.folder / "run")
        if "event=preparing" not in text and "event=trainer" not in text:
            break
    assert "event=preparing" not in text and "event=trainer" not in text


def test_a_dry_run_stops_at_once(trainer):
    trainer.recipe |= {"corruption": {"name": "vp"}, "schedule": {}, "output": "residual"}
    trainer.recipe["architecture"]["image_size"] = 64
    trainer.recipe["training"]["batch"] = 512
    for i in range(12):
        pictures.write(trainer.data / f"{i}.png", 64, i)
    for _ in range(3):  # where the machine halts before the signal, it may be over
        process = subprocess.Popen(
            trainer.command("run", "--dry-run"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        text = stop_after(process, "event=trainer")
        assert process.returncode == 0, text
        if "images/s" not in text:
            break
    assert "images/s" not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nobody_who_reads_is_no_reason_not_to_stop(trainer, number):
    """A training waits for whoever reads its log, but neither its end nor its state does."""
    trainer.recipe["progress"]["checkpoint_minutes"] = 0.01
    ours, its = os.pipe()
    process = subprocess.Popen(trainer.command("run", "--steps", 1000000), stderr=its)
    text = b""
    while b"event=saved" not in text:
        text += os.read(ours, 4096)
    os.set_blocking(its, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(its, b"x" * 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(its, b"x")
    os.set_blocking(its, True)
    log = trainer.folder / "run" / "log.jsonl"
    size = -1
    while log.stat().st_size != size:  # until it waits
        size = log.stat().st_size
        time.sleep(1.5)
    process.send_signal(number)
    assert process.wait(timeout=60) == 0
    os.close(ours)
    os.close(its)
    _, metadata = safetensors_file.read(trainer.folder / "run" / "state.safetensors")
    assert json.loads(metadata["softdiff_training"])["step"] == steps_of_log(trainer.folder / "run")[-1]


def test_what_is_being_done_is_told(trainer):
    """From the beginning on, and how fast it goes from the first step on."""
    trainer.recipe["progress"]["log_every"] = 1000
    trainer.recipe["training"]["weight"] = "balanced"
    done = trainer("run")
    assert done.returncode == 0, done.stderr
    places = [
        done.stderr.index(text)
        for text in (
            "event=reading", "event=data", "event=fitting what=schedule",
            "event=fitted what=schedule", "event=fitting what=prior", "event=fitting what=wiener",
            "event=preparing what=trainer", "event=preparing what=balance", "event=trainer",
            " step 1/6 ",
        )
    ]  # fmt: skip
    assert places == sorted(places)
    (line,) = [line for line in done.stderr.splitlines() if " step 1/6 " in line]
    rate = re.search(r"([0-9.]+) images/s  left [0-9]+:[0-9]{2}:[0-9]{2}", line)
    assert rate and float(rate[1]) > 0


def test_the_first_grids_come_early(trainer):
    trainer.recipe["progress"] = {"grid_every": 1000, "log_every": 50}
    assert trainer("run", "--steps", 101).returncode == 0
    grids = sorted(path.name for path in (trainer.folder / "run").glob("grid-*"))
    assert grids == ["grid-000100.png", "grid-000101.png"]


def test_pictures_that_do_not_differ(trainer):
    for path in trainer.data.iterdir():
        pictures.write(path, 16, 0)
    done = trainer("run")
    assert done.returncode == 1
    assert f'pictures that differ: all are the same below "{trainer.data}"' in done.stderr
    for i in range(1, 12):
        (trainer.data / f"{i}.png").unlink()
    done = trainer("run")
    assert done.returncode == 1
    assert f'pictures that differ: there is one below "{trainer.data}"' in done.stderr
    # The paper's output can learn a single picture.
    trainer.recipe["output"] = "residual"
    done = trainer("run", "--steps", 1)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "corruption, key, weak", [("noise", "sigma_max", {}), ("vp", "beta_max", {"beta_max": 1})]
)
def test_weak_noise_is_warned_of(trainer, corruption, key, weak):
    """Of the default, too, which is for a blur."""
    trainer.recipe["corruption"] = {"name": corruption}
    trainer.recipe["schedule"] = weak
    done = trainer("weak", "--steps", 1)
    assert done.returncode == 0, done.stderr
    told = re.search(rf"event=weak_noise key=schedule.{key} value=\S+ sensible=(\S+) ", done.stderr)
    assert told
    trainer.recipe["schedule"] = {key: float(told[1])}
    done = trainer("strong", "--steps", 1)
    assert done.returncode == 0 and "event=weak_noise" not in done.stderr


def test_minutes_stop_and_save(trainer):
    done = trainer("run", "--steps", 1000000, "--minutes", 0.02)
    assert done.returncode == 0, done.stderr
    assert "reason=time" in done.stderr
    assert (trainer.folder / "run" / "state.safetensors").exists()


def test_a_training_begun_in_format_1_stays_in_it(trainer):
    """Its model would draw other images otherwise, in the middle of a training."""
    run = trainer.folder / "run"
    assert trainer("run", "--steps", 2).returncode == 0
    start, state = run / "start.safetensors", run / "state.safetensors"
    assert safetensors_file.raw(start)[1]["format"] == 2
    safetensors_file.rewrite(start, start, lambda document: document.update(format=1))
    digest = hashlib.sha256(start.read_bytes()).hexdigest()
    old = {"format": 1, "start_digest": digest}
    safetensors_file.rewrite(
        state, state, lambda document: document.update(old), key="softdiff_training"
    )
    state.write_bytes(state.read_bytes().replace(b'"sha256": "', b'"other_": "'))
    done = trainer("run", "--steps", 3)
    assert done.returncode == 0, done.stderr
    assert safetensors_file.raw(run / "model.safetensors")[1]["format"] == 1


def test_a_finished_training_has_nothing_to_do(trainer):
    assert trainer("run").returncode == 0
    before = files(trainer.folder / "run")
    done = trainer("run")
    assert done.returncode == 0
    assert "reason=done step=6 of=6" in done.stderr
    assert files(trainer.folder / "run") == before


def limit_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_a_full_disk_loses_nothing(trainer):
    assert trainer("run", "--steps", 3).returncode == 0
    before = files(trainer.folder / "run")
    done = trainer("run", "--steps", 6, preexec_fn=limit_files)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "reason=not_saved step=6" in done.stderr and "reason=done" not in done.stderr
    after = files(trainer.folder / "run")
    assert sorted(after) == sorted(before)
    assert after["state.safetensors"] == before["state.safetensors"]
    assert after["model.safetensors"] == before["model.safetensors"]
    done = trainer("run", "--steps", 6)
    assert done.returncode == 0, done.stderr


def test_a_folder_that_cannot_be_made(trainer):
    (trainer.folder / "file").write_text("in the way")
    done = trainer("file/run")
    assert done.returncode == 1
    assert "could not create folder" in done.stderr
    done = trainer("file")
    assert done.returncode == 1
    assert "could not open folder" in done.stderr


@pytest.mark.parametrize(
    "corruption, output, text",
    [
        ({"name": "fog"}, "residual", 'corruption: unknown name "fog"'),
        ({"name": "blur", "half_size": "all"}, "residual", '"half_size" is not an integer'),
        ({"name": "fade"}, "residual", '"schedule.levels" must fall'),
        ({"name": "blur", "half_size": 16}, "noise", 'output "noise" goes with'),
    ],
)
def test_a_recipe_s_mistakes_are_told_before_pictures_are_read(trainer, corruption, output, text):
    trainer.data = trainer.folder / "none"
    trainer.recipe |= {"corruption": corruption, "output": output, "schedule": {"levels": [0, 1]}}
    done = trainer("run")
    assert done.returncode == 1 and "recipe.json" in done.stderr and text in done.stderr, done.stderr
    assert not (trainer.folder / "run").exists()


def test_a_bad_picture_is_named(trainer):
    good = (trainer.data / "0.png").read_bytes()
    (trainer.data / "bad.png").write_bytes(good[: len(good) // 2])
    done = trainer("run")
    assert done.returncode == 1
    assert "bad.png" in done.stderr
    done = trainer("run", "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert "bad.png" in done.stderr
    assert "images=12 skipped=1" in done.stderr


def test_other_numbers_do_not_resume(trainer):
    assert trainer("run", "--steps", 3).returncode == 0
    before = files(trainer.folder / "run")
    trainer.recipe["training"]["batch"] = 2
    done = trainer("run")
    assert done.returncode == 1
    assert '"training.batch"' in done.stderr
    trainer.recipe["training"]["batch"] = 4
    pictures.write(trainer.data / "0.png", 16, 1000)
    done = trainer("run")
    assert done.returncode == 1
    assert "other images" in done.stderr
    assert files(trainer.folder / "run") == before
    # What does not touch the numbers may change.
    pictures.write(trainer.data / "0.png", 16, 0)
    trainer.recipe["progress"]["log_every"] = 2
    assert trainer("run").returncode == 0


def test_changes_of_the_recipe_are_told(trainer):
    assert trainer("run", "--steps", 3).returncode == 0
    trainer.recipe["training"] |= {"lr": 5e-4, "ema": 0.99, "clip": 2, "steps": 4}
    done = trainer("run")
    assert done.returncode == 0, done.stderr
    for change in ("training.lr before=0.001 after=0.0005", "training.ema before=0.999 after=0.99",
                   "training.clip before=1.0 after=2.0", "training.steps before=3 after=4"):
        assert f"event=changed key={change}" in done.stderr
    assert done.stderr.count("event=changed") == 4
    done = trainer("run", "--steps", 5)  # it is the recipe of the training now
    assert done.stderr.count("event=changed") == 1
    trainer.recipe["training"]["weight"] = "balanced"  # another loss
    done = trainer("run", "--steps", 6)
    assert done.returncode == 1
    assert '"training.weight"' in done.stderr


def steps_of_log(run):
    return [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_torn_log_is_repaired(trainer):
    """What kill -9 and a full disk leave: half a line, glued lines, lines of lost steps."""
    run = trainer.folder / "run"
    assert trainer("run", "--steps", 3).returncode == 0
    log = run / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    lost = lines[2].replace('"step":3', '"step":4')
    log.write_text(lines[0] + lines[1][:50] + lines[1] + lines[1] + lines[2] + lost + lost[:70])
    done = trainer("run", "--steps", 5)
    assert done.returncode == 0, done.stderr
    assert steps_of_log(run) == [1, 2, 3, 4, 5]
    assert log.read_text().startswith("".join(lines))


def test_a_killed_training_goes_on(trainer):
    run = trainer.folder / "run"
    trainer.recipe["progress"]["checkpoint_minutes"] = 0.01
    process = subprocess.Popen(
        trainer.command("run", "--steps", 1000000), stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not all((run / f"{name}.safetensors").exists() for name in ("model", "state")):
        time.sleep(0.02)
    time.sleep(0.1)
    process.kill()
    process.wait()
    _, metadata = safetensors_file.read(run / "state.safetensors")
    step = json.loads(metadata["softdiff_training"])["step"]
    done = trainer("run", "--steps", step + 2)
    assert done.returncode == 0, done.stderr
    assert steps_of_log(run) == list(range(1, step + 3))
    assert sorted(files(run)) == [
        "log.jsonl",
        "model.safetensors",
        "start.safetensors",
        "state.safetensors",
    ]


def test_a_full_disk_tears_no_line_of_the_log(trainer):
    run = trainer.folder / "run"
    assert trainer("run", "--steps", 3).returncode == 0
    size = (run / "log.jsonl").stat().st_size

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))

    done = trainer("run", "--steps", 5, preexec_fn=limit)
    assert done.returncode == 1
    assert (run / "log.jsonl").stat().st_size == size
    assert trainer("run", "--steps", 5).returncode == 0
    assert steps_of_log(run) == [1, 2, 3, 4, 5]


@pytest.mark.sanitizers
def test_a_damaged_state_is_refused(trainer):
    assert trainer("run", "--steps", 3).returncode == 0
    state = trainer.folder / "run" / "state.safetensors"
    whole = state.read_bytes()
    state.write_bytes(whole[:-4])
    done = trainer("run")
    assert done.returncode == 1
    assert "state.safetensors" in done.stderr
    state.write_bytes(whole[:-4000] + bytes([whole[-4000] ^ 1]) + whole[-3999:])
    done = trainer("run")
    assert done.returncode == 1
    assert "state.safetensors" in done.stderr and "damaged" in done.stderr


def test_a_state_without_a_sum_is_taken(trainer):
    """Of format 1, which had none."""
    assert trainer("run", "--steps", 3).returncode == 0
    state = trainer.folder / "run" / "state.safetensors"
    safetensors_file.rewrite(
        state, state, lambda document: document.update(format=1), key="softdiff_training"
    )
    state.write_bytes(state.read_bytes().replace(b'"sha256": "', b'"other_": "'))
    done = trainer("run", "--steps", 4)
    assert done.returncode == 0, done.stderr
    assert "event=resumed step=3" in done.stderr


def test_one_process_per_run(trainer):
    log = trainer.folder / "run" / "log.jsonl"
    process = subprocess.Popen(
        trainer.command("run", "--steps", 1000000), stderr=subprocess.DEVNULL
    )
    try:
        while process.poll() is None and not log.exists():
            time.sleep(0.02)
        done = trainer("run")
        assert done.returncode == 1
        assert "another training" in done.stderr
    finally:
        process.kill()
        process.wait()


def test_dry_run_writes_nothing(trainer, program):
    done = trainer("run", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "parameters", "memory", "operations", "step", "training"
    ]  # fmt: skip
    assert float(re.search(r"([0-9.]+) images/s", done.stdout)[1]) > 0
    assert re.search(r"6 steps, 24 images, [0-9.e-]+ PFLOP, about [0-9.e-]+ hours", done.stdout)
    flops = float(re.search(r"operations  ([0-9.]+) GFLOP an image", done.stdout)[1])
    assert trainer("other", "--steps", 1).returncode == 0
    bench = subprocess.run(
        [program("softdiff-bench"), trainer.folder / "other" / "model.safetensors", "--train", "--plan"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert flops == pytest.approx(float(re.search(r"\(([0-9.]+) GFLOP, ", bench.stdout)[1]), abs=0.006)
    assert not (trainer.folder / "run").exists()


FIT = {"levels": "fit", "n_levels": 6, "candidates": 32, "images": 12}
RANKS = sorted(range(256), key=lambda i: i * 97 % 256)


@pytest.mark.parametrize(
    "corruption, schedule",
    [
        ({"name": "noise"}, {"sigma_max": 20}),
        ({"name": "vp"}, {}),
        ({"name": "subvp"}, {}),
        ({"name": "fade"}, FIT),
        ({"name": "fade"}, {"levels": [1, 0.5, 0]}),
        ({"name": "mask", "order": "spiral"}, FIT),
        ({"name": "mask", "order": "rows"}, {"levels": [256, 0]}),
        ({"name": "mask", "order": "random", "seed": 3}, FIT),
        ({"name": "mask", "order": "list", "ranks": "ranks.json"}, FIT),
        ({"name": "blur-dct"}, FIT | {"level_min": 0.01, "level_max": 12}),
        ({"name": "pixelate"}, FIT | {"level_min": 0.01, "level_max": 4}),
    ],
)
def test_every_corruption(trainer, program, corruption, schedule):
    """Trains, goes on, draws, and shows what it undoes; with both parametrisations."""
    (trainer.folder / "ranks.json").write_text(json.dumps(RANKS))
    trainer.recipe["corruption"] = corruption
    trainer.recipe["schedule"] = schedule
    for output in ("wiener", "residual"):
        trainer.recipe["output"] = output
        trainer.recipe["training"]["weight"] = "balanced"
        for steps in (30, 50):
            done = trainer(output, "--steps", steps, cwd=trainer.folder)
            assert done.returncode == 0, done.stderr
        model = trainer.folder / output / "model.safetensors"
        for name, arguments in (
            ("drawn", ["-n", "2", "--nfe", "4"]),
            ("forward", ["--forward", trainer.data / "3.png", "-n", "5"]),
        ):
            done = subprocess.run(
                [program("softdiff-sample"), model, "--grid", trainer.folder / name, *arguments],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            width = {"drawn": 2 * 18 - 2, "forward": 5 * 18 - 2}[name]
            assert pictures.size(trainer.folder / name) == (width, 16)
    lines = [json.loads(line) for line in (trainer.folder / "wiener" / "log.jsonl").open()]
    assert lines[-1]["step"] == 50 and all(line["loss"] > 0 for line in lines)


@pytest.mark.parametrize(
    "corruption, schedule, text",
    [
        ({"name": "pixelate"}, {"levels": [0, 5]}, '"pixelate" has levels from 0 to 4'),
        ({"name": "pixelate"}, FIT | {"level_max": 5}, '"pixelate" has levels from 0 to 4'),
        ({"name": "mask", "order": "rows"}, {"levels": [257, 0]}, "levels from 256 to 0"),
        ({"name": "fade"}, {"levels": [1, -0.1]}, "levels from 1 to 0"),
        ({"name": "fade"}, FIT | {"level_max": 1}, 'unknown key "level_max"'),
        ({"name": "noise"}, {"levels": [0, 1]}, 'unknown key "levels"'),
        ({"name": "vp"}, {"sigma_max": 2}, 'unknown key "sigma_max"'),
        ({"name": "blur-dct"}, {}, '"levels" is missing'),
        ({"name": "pixelate"}, {"levels": [0, 1]}, "it must be stronger"),
        ({"name": "mask", "order": "list", "ranks": "none.json"}, FIT, "none.json"),
    ],
)
def test_what_a_corruption_has_not(trainer, corruption, schedule, text):
    trainer.recipe["corruption"] = corruption
    trainer.recipe["schedule"] = schedule
    done = trainer("run")
    assert done.returncode == 1 and text in done.stderr, done.stderr


def test_nothing_is_left_of_the_last_mask(trainer):
    """Times at which no pixel is asked for have no loss, not one of 0."""
    trainer.recipe["corruption"] = {"name": "mask", "order": "rows"}
    trainer.recipe["schedule"] = {"levels": [256, 0, 0]}
    assert trainer("run", "--steps", 6).returncode == 0
    lines = [json.loads(line) for line in (trainer.folder / "run" / "log.jsonl").open()]
    assert all(line["loss_t"][-1] is None for line in lines)
    assert any(line["loss_t"][0] is not None for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [["--steps", "0"], ["--steps", "many"], ["--precision", "fp7"], ["--colour", "red"], ["extra"]],
)
def test_usage(trainer, arguments):
    done = trainer("run", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("softdiff-train: ") and "event=" not in done.stderr
    assert not (trainer.folder / "run").exists()
