"""Who is wrong: the verdict on one case from its records on several implementations.

With one implementation an answer just differs. With several, who agrees with whom tells more: the engine alone, one
release alone, or the golden, against which all agree.
"""

from collections.abc import Sequence

from backcheck.golden.guards import ENGINE
from backcheck.running.judgement import Judgement, Record

_GAVE_AN_ANSWER = frozenset({Judgement.PASSED, Judgement.DIFFERS, Judgement.EXPECTED, Judgement.UNEXPECTED})


def verdict(records: Sequence[Record]) -> str | None:
    """One line that says who differs, from all records of one case; None when no answer differs.

    Crashes, hangs and failed expectations speak for themselves and count for neither side.
    """
    answered = [record for record in records if record.judgement in _GAVE_AN_ANSWER]
    wrong = [record for record in answered if record.difference]
    if not wrong:
        return None
    differing = _names(wrong)
    agreeing = [name for name in _names(answered) if name not in differing]
    if len(differing) + len(agreeing) == 1:
        return f"{differing[0]} differs{_formats(wrong, answered)}"
    if not agreeing:
        return _all_against_the_golden(differing, wrong)
    if differing == [ENGINE]:
        return f"the engine alone differs; {_list(agreeing)} {_agree(agreeing)} with the golden"
    if len(differing) == 1:
        return f"{differing[0]} alone differs; {_list(agreeing)} {_agree(agreeing)} with the golden"
    return f"{_list(differing)} differ; {_list(agreeing)} {_agree(agreeing)} with the golden"


def _all_against_the_golden(differing: list[str], wrong: Sequence[Record]) -> str:
    alike = all(
        len({record.difference for record in wrong if record.format == format}) == 1
        for format in {record.format for record in wrong}
    )
    if alike:
        return f"the golden is stale: {_list(differing)} all agree against it"
    return f"{_list(differing)} all differ from the golden, and not alike"


def _names(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(record.implementation for record in records))


def _formats(wrong: Sequence[Record], answered: Sequence[Record]) -> str:
    """` on raw`, when it ran on others too."""
    formats = {record.format for record in wrong}
    return "" if formats == {record.format for record in answered} else f" on {_list(sorted(formats))}"


def _agree(names: Sequence[str]) -> str:
    return "agrees" if len(names) == 1 else "agree"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
