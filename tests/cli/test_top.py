"""`coord top` where there is no terminal: one frame, an image, and what to do if there is nothing to show."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from coord.cli import main
from coord.local.cluster import running
from coord.local.ports import free_ports
from coord_client import connect
from tests.cli.processes import coord


@pytest.mark.e2e
async def test_one_frame_for_a_pipe_and_as_an_image(tmp_path: Path) -> None:
    image = tmp_path / "top.svg"
    async with (
        running(tmp_path) as cluster,
        connect(cluster.servers, name="w1") as client,
        client.lock("/reports/nightly"),
        client.lock("/other"),
    ):
        options = ("top", "--once", "--interval", "0.1", "--servers", cluster.address(2))
        async with coord(*options, directory=tmp_path) as printed:
            assert await printed.wait() == 0
        async with coord(*options, "--svg", str(image), "--filter", "nightly", directory=tmp_path) as saved:
            assert await saved.wait() == 0

    text = "\n".join(printed.printed)
    assert "3 of 3 answer" in text
    assert "/reports/nightly" in text
    assert "/other" in text
    assert "\x1b" not in text, "a pipe gets no colours"
    assert saved.printed == []
    drawn = image.read_text(encoding="utf-8")
    assert drawn.startswith("<svg")
    assert "/reports/nightly" in drawn
    assert "/other" not in drawn


def test_it_says_who_does_not_answer_and_what_to_do() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"

    result = CliRunner().invoke(main, ["top", "--once", "--servers", address])

    assert result.exit_code == 3
    assert f"no server of {address} answers; name others with --servers" in result.output


def test_without_a_terminal_it_points_to_once() -> None:
    result = CliRunner().invoke(main, ["top"])

    assert result.exit_code == 2
    assert "--once prints one frame" in result.output


def test_an_image_that_cannot_be_written_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["top", "--svg", str(tmp_path / "none" / "top.svg")])

    assert result.exit_code == 2
    assert "is no directory; make it" in result.output
