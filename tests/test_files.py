"""Files are complete or unchanged, whatever happens while they are written."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hf_lcl.support import files
from hf_lcl.support.files import (
    check_weights,
    csv_writer,
    locked,
    open_whole,
    read_json,
    share_weights,
    staged,
    write_json,
    write_whole,
)


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_whole(path, "old")

    def fail():
        with open_whole(path) as file:
            file.write("half")
            file.flush()
            assert path.read_text() == "old"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["x" * 250, "語" * 80, "😀" * 62], ids=["1_byte", "3_bytes", "4_bytes"])
def test_a_file_may_have_the_longest_name(tmp_path, name):
    write_whole(tmp_path / name, "a")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_permissions_are_those_of_other_files(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a.txt", "a")
        save_file({"a": torch.zeros(2)}, tmp_path / "model.safetensors")
        share_weights(tmp_path)
    finally:
        assert os.umask(before) == 0o027
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o640


def test_links_stay_and_devices_are_written_to(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("a.txt")
    write_whole(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "a.txt").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_whole(tmp_path / "pipe", "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_is_named_and_the_old_file_stays(tiny_disk):
    write_json(tiny_disk / "a.json", [1])
    with pytest.raises(OSError, match="No space left") as caught:
        write_json(tiny_disk / "a.json", list(range(100_000)))
    assert caught.value.filename == str(tiny_disk / "a.json")
    assert read_json(tiny_disk / "a.json") == [1]
    assert [path.name for path in tiny_disk.iterdir()] == ["a.json"]


def test_a_full_disk_under_weights_is_named(tiny_disk):
    for write in (
        lambda folder: save_file({"a": torch.zeros(100_000)}, folder / "model.safetensors"),
        lambda folder: torch.save(torch.zeros(100_000), folder / "optimizer.pt"),
    ):
        with pytest.raises(OSError, match="No space left") as caught, staged(tiny_disk) as folder:
            write(folder)
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(tiny_disk)
        assert not list(tiny_disk.iterdir())


def test_shards_of_an_older_model_go(tmp_path):
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "extra.safetensors"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with staged(tmp_path) as folder:
        save_file({"a": torch.zeros(2)}, folder / "model.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["extra.safetensors", "model.safetensors"]


@pytest.mark.parametrize("keep", [0, 7, 8, 30, -1])
def test_cut_weights_are_found(tmp_path, keep):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(3), "b": torch.ones(2, 2)}, path, metadata={"format": "pt"})
    check_weights(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors is cut short or broken"):
        check_weights(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b'{"a": "\xc3', b"\x00" * 10])
def test_json_that_is_cut_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json is cut or no JSON"):
        read_json(tmp_path / "a.json")


def test_what_csv_quotes(tmp_path):
    with open_whole(tmp_path / "a.csv") as file:
        csv_writer(file, safe=True)(["a\rb", "=1", -1, 'q"', {"ä": 1}, None, "", "\t=1", "\n=1", "\uff1d1"])
    expected = '"a\rb",\'=1,-1,"q""","{""ä"": 1}",,,\'\t=1,"\'\n=1",\'\uff1d1\n'
    assert (tmp_path / "a.csv").read_bytes().decode() == expected


# Imports only the module, since importing the package takes seconds.
HOLD = """
import sys, time
from files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
ALONE = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parent)}


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, env=ALONE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(ValueError, match=f"Another process writes into {tmp_path}"), locked(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


WRITE = """
import sys
from files import write_json
print("begun", flush=True)
while True:
    write_json(sys.argv[1], list(range(20_000)))
"""


def test_a_kill_while_a_file_is_written_leaves_a_whole_one(tmp_path):
    path = tmp_path / "a.json"
    for wait in (0.02, 0.05, 0.09):
        writer = subprocess.Popen([sys.executable, "-c", WRITE, path], stdout=subprocess.PIPE, env=ALONE)
        assert writer.stdout.readline() == b"begun\n"
        while not path.exists():
            time.sleep(0.005)
        time.sleep(wait)
        writer.kill()
        writer.wait()
        assert json.loads(path.read_text()) == list(range(20_000))


SAVE = """
import os, signal, sys
from files import staged
moved = 0
def stop(event, arguments):
    global moved
    moved += event == "os.rename"
    if event == "os.rename" and moved == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(stop)
with staged(sys.argv[1]) as folder:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text("new")
"""


@pytest.mark.parametrize("moves", [1, 2, 3, 4])
def test_a_kill_while_a_model_is_replaced_leaves_no_mixture(tmp_path, moves):
    names = ("config.json", "model.safetensors", "tokenizer.json")
    for name in names:
        (tmp_path / name).write_text("old")
    ended = subprocess.run([sys.executable, "-c", SAVE, tmp_path, str(moves)], env=ALONE)
    assert ended.returncode == (0 if moves == 4 else -signal.SIGKILL)
    if (tmp_path / "config.json").exists():
        assert len({(tmp_path / name).read_text() for name in names}) == 1
    with staged(tmp_path):
        assert len(list(tmp_path.glob(".saving-*"))) == 1, "what a kill leaves is removed"
        with staged(tmp_path):
            assert len(list(tmp_path.glob(".saving-*"))) == 2, "what another process writes is not"
