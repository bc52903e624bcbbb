"""The mutants (mutants.py) are not run here, but none of them may have lost the words that it replaces."""

import pytest
from lab.mutants.__main__ import MUTANTS, ROOT, Mutant, changed


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_still_finds_its_words(mutant: Mutant) -> None:
    """Or `make mutants`, which takes its time, would be the first to say so."""
    texts = {edit.file: (ROOT / "sessions" / edit.file).read_text("utf-8") for edit in mutant.edits}

    for edit in mutant.edits:
        text = changed(texts[edit.file], edit)
        assert text != texts[edit.file]
