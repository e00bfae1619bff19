"""What a claim declares: its decision rules, and the schema of `book/claims/NN.yml`."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import pydantic
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from hierlearn.claims.citations import labels
from hierlearn.errors import check_choice
from hierlearn.experiment import PROFILES, Experiment
from hierlearn.intervals import IntervalKind

Source = Literal["proved", "stated", "conjectured", "ours"]
Expected = Literal["supported", "refuted", "inconclusive", "reported"]
Text = Annotated[str, Field(min_length=1)]


class ClaimError(ValueError):
    """A claim that is badly declared, or whose records are missing."""


_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_RULE = re.compile(
    rf"interval (?:within \[\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\]|above {_NUMBER}|below {_NUMBER})"
)
_THEOREM = re.compile(r"\{prf:\w+\}[^\n]*\n#?\s*:label: (\S+)")
RULE_FORMS = "'interval within [a, b]', 'interval above a', 'interval below b', 'report'"


@dataclass(frozen=True)
class Rule:
    """A region of the line that an interval must lie in; `text` is the rule as it was written.

    "within [a, b]" includes its end points, "above a" and "below b" exclude theirs.
    """

    text: str
    low: float = -math.inf
    high: float = math.inf
    closed: bool = False

    @property
    def reports(self) -> bool:
        """Whether the rule decides nothing and only reports."""
        return self.text == "report"

    def satisfied(self, low: Any, high: Any) -> Any:
        """Whether every point of [low, high] lies in the region; of many intervals, of each."""
        return np.logical_not(self._left(low) | self._right(high))

    def violated(self, low: float, high: float) -> bool:
        """Whether no point of [low, high] lies in the region."""
        return bool(self._left(high) or self._right(low))

    def _left(self, value: Any) -> Any:
        return value < self.low if self.closed or self.low == -math.inf else value <= self.low

    def _right(self, value: Any) -> Any:
        return value > self.high if self.closed or self.high == math.inf else value >= self.high


def parse_rule(text: object) -> Rule:
    """Return the rule that `text` states; ValueError, listing the valid forms, where it is none."""
    stripped = " ".join(text.split()) if isinstance(text, str) else ""
    if stripped == "report":
        return Rule("report")
    if not (match := _RULE.fullmatch(stripped)):
        raise ValueError(f"{text!r} is not a rule; valid: {RULE_FORMS} (a and b are numbers)")
    within, end, above, below = match.groups()
    found = Rule(
        stripped, float(within or above or -math.inf), float(end or below or math.inf), bool(within)
    )
    if any(math.isinf(float(bound)) for bound in match.groups() if bound):
        raise ValueError(f"{text!r} has a bound that is not finite")
    if found.low > found.high:
        raise ValueError(f"{text!r} is empty: {found.low:g} is larger than {found.high:g}")
    return found


Rules = dict[
    Annotated[str, AfterValidator(lambda name: check_choice("profile", name, PROFILES))],
    Annotated[Rule, BeforeValidator(parse_rule)],
]


class _Model(BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Reference(_Model):
    """A statistic of an experiment, and the kind of interval that is taken over its seeds."""

    experiment: Text
    name: Text
    interval: IntervalKind

    def __str__(self) -> str:
        return f"{self.experiment}.{self.name}"


class Revision(_Model):
    """What of a claim was changed after its results were seen: when, what, and why."""

    when: Annotated[str, BeforeValidator(str), Field(pattern=r"^20\d\d-\d\d-\d\d$")]
    what: Text
    why: Text


class Control(Reference):
    """The ablation in which the effect must vanish: where its rule holds, it has vanished.

    `same_quantity` says whether its statistic is the claim's quantity, in the same unit, without
    the effect (an error ratio with and without the mechanism): then its seeds say what the claim's
    rule would meet in a world without the effect. In doubt it is false. `exact` is the reason why
    its value is the same at every seed; without one, a constant control is none. `needs` is as for
    the claim: a control that must fail at something may ask for it, one that must succeed need not.
    """

    description: Text
    exact: Text | None = None
    needs: Literal["converged"] | None = None
    same_quantity: Annotated[bool, Field(strict=True)]
    rule: Annotated[Rule | None, BeforeValidator(parse_rule)] = None
    rules: Rules = {}

    @model_validator(mode="after")
    def _one_form(self) -> "Control":
        if (self.rule is None) == (not self.rules):
            raise ValueError("give either `rule` (every profile) or `rules` (one a profile)")
        return self

    def rule_at(self, profile: str) -> Rule | None:
        """The rule of a profile, or None."""
        return self.rule or self.rules.get(profile)


class Claim(_Model):
    """One entry of `book/claims/NN.yml`; `load_claims` fills in `chapter` and `cited`.

    `theorems` are labels of the chapter's theorems that the claim bears on, `cited` is the paper as
    a reader knows it. With `needs: converged` nothing is decided by runs that were still moving;
    `budget: named` says that the statement speaks of a budget, which pushing then keeps.
    """

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*$")]
    chapter: str = ""
    headline: bool = False
    paper: Text
    cited: str = ""
    locus: Text
    theorems: tuple[Text, ...] = ()
    source: Source
    statement: Text
    statistic: Reference
    predicted: float | str
    rules: Annotated[Rules, Field(min_length=1)]
    expected: str | dict[str, str]
    needs: Literal["converged"] | None = None
    budget: Literal["named"] | None = None
    revised: tuple[Revision, ...] = ()
    control: Control | None = None
    no_control: Text | None = None
    note: Text | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Claim":
        if (self.control is None) == (self.no_control is None):
            raise ValueError("give either `control` or `no_control: <the reason>`")
        if self.headline and "smoke" not in self.rules:
            raise ValueError("a headline claim needs a rule for profile smoke")
        given, rules = self.expected, self.rules
        verdicts = dict.fromkeys(rules, given) if isinstance(given, str) else given
        if set(verdicts) != set(rules):
            need, got = ", ".join(rules), ", ".join(verdicts)
            raise ValueError(f"expected: needs one verdict for each of {need}; got {got}")
        valid = get_args(Expected)
        if wrong := [verdict for verdict in verdicts.values() if verdict not in valid]:
            raise ValueError(f"expected: {wrong[0]!r} is not a verdict; valid: {', '.join(valid)}")
        fits = [(verdicts[profile] == "reported") == rules[profile].reports for profile in rules]
        # One verdict for all profiles speaks of those whose rule decides, if there is one.
        if not all(fits) and (not isinstance(given, str) or given == "reported" or not any(fits)):
            raise ValueError("expected: 'reported' belongs to the rule 'report', and only to it")
        for profile, rule in self.rules.items():
            control = self.control and self.control.rule_at(profile)
            if control and control.reports and not rule.reports:
                raise ValueError(f"control: 'report' cannot decide the rule at {profile}")
        return self

    @property
    def reads(self) -> frozenset[str]:
        """The experiments that its statistic and its control read."""
        return frozenset(one.experiment for one in (self.statistic, self.control) if one)

    def rule_at(self, profile: str) -> Rule | None:
        """The rule of a profile, or None where the claim is not run."""
        return self.rules.get(profile)

    def expected_at(self, profile: str) -> str:
        """The declared verdict: "not run" without a rule, "reported" where it only reports."""
        rule = self.rule_at(profile)
        if rule is None or rule.reports:
            return "not run" if rule is None else "reported"
        return self.expected if isinstance(self.expected, str) else self.expected[profile]


def load_claims(folder: Path | str, experiments: Mapping[str, Experiment]) -> list[Claim]:
    """Return the claims of the YAML files in `folder`, one a chapter, in the chapters' order.

    Checked against the schema, the experiments and their statistics, the chapter whose number is
    the file's name, its theorems, and `references.bib` beside the folder, where there is one.
    Raises ClaimError that lists every problem by file, entry and field.
    """
    folder = Path(folder)
    bib = folder.parent / "references.bib"
    try:
        papers = labels(bib) if bib.exists() else None
    except ValueError as error:
        raise ClaimError(str(error)) from error
    claims, problems = [], []
    for path, entries in _files(folder):
        ids = [entry.get("id") for entry in entries if isinstance(entry, dict)]
        prefixes = Counter(key.partition(".")[0] for key in ids if isinstance(key, str))
        prefix = max(prefixes, key=prefixes.__getitem__, default="")
        for number, entry in enumerate(entries, start=1):
            name = entry.get("id", "no id") if isinstance(entry, dict) else "not a mapping"
            found: list[str] = []
            try:
                claim = Claim.model_validate(entry)
                found = list(_bad_references(claim, experiments, papers))
                if not found:
                    chapter = claim.chapter or experiments[claim.statistic.experiment].chapter
                    cited = (papers or {}).get(claim.paper, claim.paper)
                    claim = claim.model_copy(update={"chapter": chapter, "cited": cited})
                    found = list(_misplaced(claim, path, prefix))
            except pydantic.ValidationError as error:
                found = [_explain(detail) for detail in error.errors()]
            problems += [f"{path}, entry {number} ({name}): {problem}" for problem in found]
            if not found:
                claims.append(claim)
    counts = Counter(claim.id for claim in claims)
    problems += [f"{folder}: id {key} is given {n} times" for key, n in counts.items() if n > 1]
    if problems:
        raise ClaimError("\n".join(problems))
    return claims


class _Loader(yaml.CSafeLoader):
    """Refuses a key that is given twice: YAML's last one would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of `node`; MarkedYAMLError for a repeated key."""
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := [key for key, n in keys.items() if n > 1]:
            raise yaml.MarkedYAMLError(
                None, None, f"the key {twice[0]!r} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _files(folder: Path) -> Iterable[tuple[Path, list[Any]]]:
    """Yield the files of claims and their entries, in the chapters' order."""
    paths = sorted(folder.glob("*.yml"))
    if not paths:
        raise ClaimError(f"{folder} cannot be read: valid is a folder with claims, e.g. 01.yml")
    for path in paths:
        if not re.fullmatch(r"[0-9]{2}", path.stem):
            raise ClaimError(f"{path}: valid names are those of chapters' numbers, e.g. 01.yml")
        try:
            loader = _Loader(path.read_bytes())  # tenfold safe_load's speed
            entries = loader.get_single_data()
        except (OSError, ValueError, yaml.YAMLError) as error:  # 2026-13-45 is a ValueError
            raise ClaimError(f"{path} cannot be read as YAML: {error}") from error
        if not isinstance(entries, list):
            raise ClaimError(f"{path}: expected a list of claims, got {type(entries).__name__}")
        yield path, entries


def _misplaced(claim: Claim, path: Path, prefix: str) -> Iterable[str]:
    """Yield what in a claim is of another chapter than its file; most ids begin with `prefix`."""
    if claim.chapter.partition("_")[0] != path.stem:
        yield f"chapter: {claim.chapter!r} is not that of {path.name}"
    if claim.id.partition(".")[0] != prefix:
        yield f"id: {claim.id!r} begins otherwise than those beside it; valid: {prefix}.{{name}}"
    chapter = path.parents[1] / f"{claim.chapter}.py"
    text = chapter.read_text(encoding="utf-8") if claim.theorems and chapter.exists() else ""
    known = _THEOREM.findall(text)
    for label in claim.theorems:
        if label not in known:
            valid = ", ".join(known) or "none"
            yield f"theorems: {label!r} is no theorem of {chapter.name}; valid: {valid}"


def _explain(detail: Any) -> str:
    loc = [str(part) for part in detail["loc"]]
    where, message = ".".join(loc).replace(".[key]", ""), detail["msg"]
    if detail["type"] in ("extra_forbidden", "missing"):
        parts: dict[tuple[str, ...], type[BaseModel]]
        parts = {("statistic",): Reference, ("control",): Control}
        kind = "unknown field" if detail["type"] == "extra_forbidden" else "missing field"
        valid = parts.get((*loc[:-1],), Claim).model_fields
        return f"{where}: {kind}; valid: {', '.join(valid)}"
    if detail["type"] == "value_error":
        message = message.removeprefix("Value error, ")
    else:
        message += f"; got {detail['input']!r}"
    return f"{where}: {message}" if where else message


def _bad_references(
    claim: Claim, experiments: Mapping[str, Experiment], papers: Mapping[str, str] | None
) -> Iterable[str]:
    if papers is not None and claim.paper not in papers:
        yield f"paper: {claim.paper!r} is not in references.bib; valid: {', '.join(sorted(papers))}"
    for field, reference in (("statistic", claim.statistic), ("control", claim.control)):
        experiment = experiments.get(reference.experiment) if reference else None
        if reference and not experiment:
            valid = ", ".join(experiments)
            yield f"{field}.experiment: no experiment {reference.experiment!r}; valid: {valid}"
        if reference and experiment and reference.name not in experiment.statistics:
            yield (
                f"{field}.name: experiment {experiment.name!r} has no statistic "
                f"{reference.name!r}; valid: {', '.join(experiment.statistics)}"
            )
