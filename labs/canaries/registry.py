"""The registry that a rollout meets, played: aliases and a serving plan in memory, away for a while if the scenario says so."""

from dataclasses import dataclass

from data.errors import RegistryUnavailable
from data.serving_plan import ServingPlan


@dataclass
class PlayedRegistry:
    """`data.registry.Registry` as far as a rollout goes, in memory. It is away for `away` rests from when the first canary is to begin."""

    aliases: dict[str, str]
    away: int = 0
    refusals: int = 0  # calls that it did not answer
    _is_away: bool = False
    _plan: ServingPlan | None = None

    def rest(self) -> None:
        """A second of wall time passes."""
        self.away -= 1
        self._is_away = self._is_away and self.away > 0

    def alias(self, alias: str) -> str | None:
        self._require_up()
        return self.aliases.get(alias)

    def set_alias(self, alias: str, version: str) -> None:
        self._require_up()
        self.aliases[alias] = version

    def delete_alias(self, alias: str) -> None:
        self._require_up()
        self.aliases.pop(alias, None)

    def plan(self) -> ServingPlan | None:
        self._require_up()
        return self._plan

    def set_plan(self, plan: ServingPlan) -> None:
        self._is_away = self._is_away or (plan.mode == "canary" and self.away > 0)
        self._require_up()
        self._plan = plan

    def _require_up(self) -> None:
        if self._is_away:
            self.refusals += 1
            raise RegistryUnavailable("The model registry did not answer.", next_step="Start it again.", where="registry")
