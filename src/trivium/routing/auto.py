"""Auto models: which model a request gets that asks for `auto/frontier` or another of them (behaviour page, section 5).

`resolve` is a function of what is asked, of the models that the catalogue has, and of a judge who says of each whether
this caller may use it. It tells what was chosen and why each other was not. The choices themselves are configuration.

A pattern means a model by `provider/model`, by the provider's own id, or by a vendor's other names for it, in capitals
or not. Of several the newest comes first: by the first number in its name (`claude-opus-4.7` before `claude-opus-4-5`),
then the plain name before one with words behind the number (`-fast`, `:thinking`), then by the catalogue's order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from typing import Literal

import msgspec

from trivium.canon import wildcard
from trivium.metering.record import short
from trivium.routing.catalog import Catalog, ModelEntry, Target
from trivium.settings import Settings
from trivium.settings_auto import AutoChoice, AutoSettings

_ALL = "*"
_ENDS = r"(?!\d|(?:[.x]\d+)?[bkmt](?![a-z]))"
_VERSION = re.compile(rf"(?i)(?<![\d.])\d{{1,3}}{_ENDS}(?:[.-]\d{{1,2}}{_ENDS})*")
"""A longer number is a date, and one with a unit a size: of 24 or 8x7 billion parameters (`24b`, `8x7b`), for a million
tokens (`1m`)."""
_DATE = re.compile(r"[-@]\d{4,8}(?!\d)")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the choices may look at."""

    mode: str | None = None
    """In small letters; None: the client names none."""
    image: bool = False
    balance: bool = True
    headers: Mapping[bytes, bytes] = {}


class Candidate(msgspec.Struct, frozen=True):
    """A model by the name with which a request would ask for it."""

    name: str
    images: bool = True
    """It reads them, as far as anybody knows."""


class Passed(msgspec.Struct, frozen=True):
    """A candidate that was not taken, and why."""

    name: str
    why: str
    told: bool = True
    """Callers may hear of it."""
    forbidden: bool = False
    """It is there, and not for this caller."""


Judge = Callable[[str, Literal["free", "paid"] | None], Passed | None]
"""Says whether a model, by name, cannot be had at this price: None, it can."""


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the question."""

    id: str
    """The auto model's own, whatever alias it was asked by."""
    mode: str
    """For which it was chosen."""
    model: str | None
    """By the name with which a request would ask for it; None: there is none that the caller may use."""
    choice: AutoChoice
    known_as: tuple[str, ...] = ()
    """As `AutoModel` has it."""
    passed: tuple[Passed, ...] = ()
    """In the order in which they were looked at."""

    def columns(self) -> dict[str, str | None]:
        """As the record has it."""
        told = {"auto_model": self.id, "auto_mode": self.mode, "resolved_model": self.model}
        return {column: short(text) for column, text in told.items()}


class AutoModel(msgspec.Struct, frozen=True):
    id: str
    said: AutoSettings
    known_as: tuple[str, ...] = ()
    """All names that lead to it, in small letters: by each of them gates, lists and limits mean it."""


class Autos:
    """All auto models of a configuration; `names` has them by their ids and aliases. `candidates` remembers what a
    catalogue has for a pattern, until it is asked about another catalogue."""

    def __init__(self, names: Mapping[str, AutoModel]) -> None:
        self.names = names
        self._catalog: Catalog | None = None
        self._known: list[tuple[ModelEntry, Target]] = []
        self._found: dict[str, tuple[Candidate, ...]] = {}

    def get(self, name: str) -> AutoModel | None:
        return self.names.get(name)

    def prepare(self, catalog: Catalog) -> None:
        """Finds the candidates of all patterns, which takes a while where there are thousands of models."""
        for auto in self.names.values():
            for choice in auto.said.choices:
                for pattern in choice.models:
                    self.candidates(catalog, pattern)

    def candidates(self, catalog: Catalog, pattern: str) -> tuple[Candidate, ...]:
        """The models that a pattern means, in the order of preference."""
        if not wildcard.is_wild(pattern):
            return (Candidate(pattern),)
        if catalog is not self._catalog:
            # What an alias leads to stands in the list by itself; what gives no text is no candidate.
            self._known = [
                (entry, target)
                for entry, target in catalog.listed
                if entry.id not in catalog.aliases and (not entry.gives or "text" in entry.gives)
            ]
            self._catalog, self._found = catalog, {}
        found = self._found.get(pattern)
        if found is None:
            found = self._found[pattern] = _meant(self._known, pattern)
        return found


NO_AUTOS = Autos({})


def autos(settings: Settings, providers: Container[str] = ()) -> Autos:
    """The auto models of a configuration. A name that means something else there is left to it: an alias, a model of
    the house or of the catalogue, a provider before a slash. Aliases may lead to auto models."""
    names: dict[str, AutoModel] = {}
    for id, said in settings.auto.models.items() if settings.auto.enabled else ():
        if said.enabled and said.choices:
            model = AutoModel(id, said)
            names |= {name: model for name in (id, *said.aliases) if name.partition("/")[0] not in providers}
    led = {alias: names[name] for alias, name in settings.aliases.items() if name in names}
    own = {name: model for name, model in names.items() if name not in settings.aliases}
    theirs = {
        *settings.free.models,
        *(name for id, one in settings.catalog.models.items() for name in (id, *one.aliases)),
    }
    found = {name: model for name, model in (own | led).items() if name not in theirs}
    known_as: dict[str, list[str]] = {}
    for name, model in found.items():
        known_as.setdefault(model.id, []).append(name.lower())
    whole = {model.id: AutoModel(model.id, model.said, tuple(known_as[model.id])) for model in found.values()}
    return Autos({name: whole[model.id] for name, model in found.items()})


def resolve(model: AutoModel, asked: Asked, catalog: Catalog, autos: Autos, judge: Judge) -> Resolution:
    """The first model of the first choice that fits; of the choices behind it where that has none left."""
    said = model.said
    mode = asked.mode or said.default_mode
    fitting = [choice for choice in said.choices if _fits(choice, mode, asked)]
    if said.choices[-1] not in fitting:
        fitting.append(said.choices[-1])
    passed: dict[str, Passed] = {}
    for choice in fitting:
        for pattern in choice.models:
            for candidate in autos.candidates(catalog, pattern):
                why = _passed_over(candidate, choice, asked, autos, judge)
                if why is None:
                    return _resolved(model, mode, choice, passed, candidate.name)
                passed.setdefault(candidate.name, why)
    return _resolved(model, mode, fitting[0], passed, None)


def _resolved(
    auto: AutoModel, mode: str, choice: AutoChoice, passed: Mapping[str, Passed], model: str | None
) -> Resolution:
    over = tuple(passed.values())
    return Resolution(id=auto.id, mode=mode, model=model, choice=choice, known_as=auto.known_as, passed=over)


def _passed_over(candidate: Candidate, choice: AutoChoice, asked: Asked, autos: Autos, judge: Judge) -> Passed | None:
    if candidate.name in autos.names:
        return Passed(candidate.name, "It is an auto model itself.")
    if asked.image and not candidate.images:
        return Passed(candidate.name, "It reads no images.")
    return judge(candidate.name, choice.price)


def _fits(choice: AutoChoice, mode: str, asked: Asked) -> bool:
    return (
        (not choice.modes or mode in choice.modes)
        and choice.image in (None, asked.image)
        and choice.balance in (None, asked.balance)
        and all(_says(asked.headers, name, value) for name, value in choice.headers.items())
    )


def _says(headers: Mapping[bytes, bytes], name: str, wanted: str) -> bool:
    said = headers.get(name.strip().lower().encode("latin-1", "replace"))
    return said is not None and bool(wildcard.fitting(wanted.lower())(said.decode("latin-1").strip().lower()))


def _meant(known: list[tuple[ModelEntry, Target]], pattern: str) -> tuple[Candidate, ...]:
    fits = wildcard.fitting(pattern.lower())
    found = [(entry, target) for entry, target in known if any(map(fits, _names(entry, target)))]
    if pattern != _ALL:  # numbers of all kinds of models say nothing
        found.sort(key=lambda pair: _age(pair[1].public))
    return tuple(Candidate(entry.id, not entry.takes or "image" in entry.takes) for entry, _ in found)


def _names(entry: ModelEntry, target: Target) -> tuple[str, ...]:
    if target.house is not None:  # nobody may ask what it is by what it answers to
        return (entry.id.lower(),)
    model = target.model.lower()
    return (model, f"{target.provider.name}/{model}", *target.also)


def _age(model: str) -> tuple[tuple[int, ...], bool]:
    """The smaller, the newer."""
    name = model.rpartition("/")[2]
    found = _VERSION.search(name)
    if found is None:
        return (1,), True
    version = tuple(-int(number) for number in re.split(r"[.-]", found[0]))
    # Ends with what is greater than any number, so that 4.7 comes before 4.
    return (*version, 1), bool(_DATE.sub("", name[found.end() :]))
