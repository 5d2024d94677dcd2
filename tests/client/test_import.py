"""What comes along with `import coord_client`: command lines pay for it at every start."""

import subprocess
import sys


def test_importing_the_client_loads_no_event_loop() -> None:
    """anyio loads trio or asyncio when one of them runs, and so do we."""
    script = (
        "import sys, coord_client, coord_client.recipes.election\n"
        "print([name for name in ('trio', 'asyncio', 'ssl', 'msgspec', 'coord') if name in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"
