import pytest

from wavecoder import machine
from wavecoder.errors import ConfigError
from wavecoder.machine import free_memory, need_memory


@pytest.fixture
def system(tmp_path, monkeypatch):
    """What the system says, in files of our own."""
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)

    def say(available_kib=None, **files):
        if available_kib is not None:
            text = f"MemTotal: 9 kB\nMemAvailable: {available_kib} kB\n"
            (tmp_path / "meminfo").write_text(text)
        for name, text in files.items():
            (tmp_path / f"memory.{name}").write_text(text)

    return say


def test_here_it_is_known():
    assert (free_memory() or 0) > 1 << 20


def test_a_system_that_does_not_tell_refuses_nothing(system):
    assert free_memory() is None
    need_memory(1 << 60, "It", "Do less.")


def test_what_a_container_may_use_counts_but_not_its_file_cache(system):
    system(4000)
    assert free_memory() == 4000 * 1024
    system(max="max\n", current="7\n", stat="anon 3\ninactive_file 4\n")
    assert free_memory() == 4000 * 1024
    system(max="1000\n", current="700\n", stat="anon 300\ninactive_file 400\n")
    assert free_memory() == 700


def test_too_little_is_one_sentence(system):
    system(2_000_000)
    need_memory(1_000_000_000, "It", "Do less.")
    with pytest.raises(ConfigError) as caught:
        need_memory(3_000_000_000, "It", "Do less.")
    assert str(caught.value) == "It needs 3.0 GB of memory and 2.0 GB are free. Do less."
