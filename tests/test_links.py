"""What the pages of the project link to is in the project."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def targets(page):
    """Relative links of a page; those that have line breaks within are one, too."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return [target for target in LINK.findall(re.sub(r"\s*\n\s*", " ", text)) if "://" not in target]


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="no checkout")
def test_every_link_leads_to_a_file_that_is_kept():
    """On the machine where a page is written all is there, also what git ignores: README linked to three such files."""
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    kept = {ROOT / name for name in run.stdout.split("\0") if name}
    pages = [page for page in kept if page.suffix == ".md"]
    links = [(page, (page.parent / target).resolve()) for page in pages for target in targets(page)]
    dead = [f"{page.relative_to(ROOT)}: {target}" for page, target in links
            if target not in kept and not any(target in file.parents for file in kept)]    # fmt: skip
    assert len(links) > 100
    assert not dead, "\n".join(dead)
