"""A manifest, a sweep or a description that can't be meant: one clear line, and nothing is started."""

from __future__ import annotations

import re

import pytest

from orchestrator.cli.main import main
from orchestrator.errors import BadInput
from orchestrator.planning import make_plan
from orchestrator.programs.program import read_program
from orchestrator.spec import parse_sweep

MANIFEST = 'protocol = 1\nname = "linear"\ncommand = ["python", "train.py"]\n'


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("protocol = 1", "protocol = 2", r"program.toml:1: protocol: is 2, but this scalaw speaks protocol 1; write "),
        ("protocol = 1\n", "", r"program.toml:1: protocol: the key 'protocol' is missing; add it"),
        ('command = ["python", "train.py"]\n', "", r"program.toml:1: command: the key 'command' is missing; add it"),
        ('["python", "train.py"]', "[]", r"program.toml:3: command: must have at least 1 entries"),
        ('"train.py"', '"tain.py"', r"program.toml: command: there is no tain.py in .*linear; name the script"),
        (
            '"python", "train.py"',
            '"trainer-9"',
            r"program.toml: command: there is no 'trainer-9', neither in .* nor on",
        ),
        ('"python", "train.py"', '"./run.sh"', r"command: there is no './run.sh', neither in .*linear nor on the PATH"),
        ("name", "nam", r"program.toml:2: nam: unknown key; did you mean 'name'\?|program.toml:2: nam: unknown key"),
        ('"linear"', '"a/b"', r"program.toml:2: name: must be letters"),
        ("protocol = 1", "protocol = 1\nprotocol = 1", r"program.toml: no TOML: "),
        (
            "protocol = 1",
            'protocol = 1\nsharing = "most"',
            r"program.toml:2: sharing: can't be the text 'most'; one of: exact",
        ),
        ("protocol = 1", 'protocol = 1\nsources = ["../*.py"]', r"sources: '../\*.py' leads out of the program's"),
        ("protocol = 1", 'protocol = 1\nsources = ["*.rs"]', r"sources: no file in .*linear matches \*.rs; list the"),
        (
            "protocol = 1",
            'protocol = 1\nenv = ["AWS_SECRET_ACCESS_KEY"]',
            r"env: AWS_SECRET_ACCESS_KEY isn't passed on",
        ),
        ("protocol = 1", "protocol = 1\ngrace_s = -1", r"program.toml:2: grace_s: must be greater than 0, not -1"),
        ("protocol = 1", 'protocol = 1\nweights = "../w.safetensors"', r"weights: must be the name of a .safetensors"),
    ],
)
def test_a_manifest_is_refused_in_one_line_that_says_where_and_what(linear, before, after, said):
    assert before in MANIFEST
    (linear / "program.toml").write_text(MANIFEST.replace(before, after))
    with pytest.raises(BadInput) as refusal:
        read_program(linear / "program.toml")
    assert re.search(said, str(refusal.value).splitlines()[0]), str(refusal.value)


def test_a_manifest_that_is_not_there_or_no_text_is_refused(linear, tmp_path):
    with pytest.raises(BadInput, match=r"nowhere.toml can't be read: No such file"):
        read_program(tmp_path / "nowhere.toml")
    (linear / "program.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=r"program.toml: no UTF-8 at byte 0"):
        read_program(linear / "program.toml")
    (linear / "program.toml").write_bytes(b"#" * 200_000)
    with pytest.raises(BadInput, match=r"has more than 100,000 bytes and is no manifest"):
        read_program(linear / "program.toml")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("fewer", r"linear describes 0 models and was asked for 1 sizes: one each, in order"),
        ("factor", r"<string>:5: grid.params.*: 4 were asked for and the program describes a model of 12, more than a"),
        ("describe fails", r"linear was asked to describe itself and ended with exit 1: no data here"),
    ],
)
def test_a_description_that_is_none_of_what_was_asked_is_refused(linear, sweep_of, bad, said):
    with pytest.raises(BadInput, match=said):
        make_plan(parse_sweep(sweep_of(bad=bad)), program=read_program(linear / "program.toml"))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.schedule=wsm", r"train.schedule: wsm averages weights, and those of linear are its own; name the "),
        ("keep=best", r"keep: the weights of the program linear are its own; let it save them itself; leave it out"),
        ("train.fuse=true", r"train.fuse: linear trains one model a process"),
        (
            "train.eval_every=5",
            r"train.eval_every: linear scores on the way when it likes, by a val_loss in its metrics",
        ),
        ("train.learning_rate=auto", r"train: train.learning_rate: auto has no rule .*; write a number"),
        ("grid.compression=[{method: quantize, bits: 8}]", r"grid.compression: the weights of linear are its own"),
        ("data.max_examples=1M", r"data.max_examples: is 1,000,000, but lines has 400 training examples"),
    ],
)
def test_what_a_program_cannot_do_is_refused_at_its_line(linear, sweep_of, override, said):
    with pytest.raises(BadInput, match=said):
        make_plan(parse_sweep(sweep_of(), overrides=[override]), program=read_program(linear / "program.toml"))


def test_a_program_goes_with_its_own_data_alone(sweep_of):
    with pytest.raises(BadInput, match=r"data.source: a program trains on data of its own; write model: "):
        parse_sweep(sweep_of(), overrides=["data.source=digits"])


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_without_consent_nothing_is_started_or_written(verb, linear, sweep_of, starts, tmp_path, capsys):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(sweep_of())
    store = ["--store", str(tmp_path / "store")] if verb == "run" else []
    with pytest.raises(SystemExit) as end:
        main([verb, str(sweep), *store])
    assert end.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line == (
        f"scalaw: {sweep}:4: model.family: program runs a command of your own, which needs your consent: add "
        "--program DIR/program.toml"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["linear", "outside", "sweep.yaml"]
    assert not list((tmp_path / "outside").iterdir())


def test_consent_to_a_program_that_the_sweep_does_not_run_is_refused(linear, sweep, tmp_path):
    with pytest.raises(BadInput, match="`program` names a trainer of your own, but the sweep trains a simulated"):
        make_plan(sweep(), program=read_program(linear / "program.toml"))


def test_a_plan_compares_no_schedule_that_a_program_cannot_follow(linear, sweep_of):
    plan = make_plan(parse_sweep(sweep_of()), program=read_program(linear / "program.toml"))
    assert list(plan.to_json()["flops_by_schedule"]) == ["wsd"]


def test_a_plan_remembers_what_was_said_until_files_beside_the_program_change(linear, sweep_of, monkeypatch):
    from orchestrator.programs import description

    asked = []
    truly = description._asked
    monkeypatch.setattr(description, "_asked", lambda question: asked.append(1) or truly(question))
    text = parse_sweep(sweep_of())
    for _ in range(2):
        plan = make_plan(text, program=read_program(linear / "program.toml"), remembered=True)
        assert (len(asked), len(plan.cells)) == (1, 4)
    (linear / "tokens.bin").write_bytes(b"1234")
    make_plan(text, program=read_program(linear / "program.toml"), remembered=True)
    make_plan(text, program=read_program(linear / "program.toml"))
    assert len(asked) == 3
