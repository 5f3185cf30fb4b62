"""Tasks that are played: a model calls tools over many steps, and what it leaves behind is graded.

A world has tools and a state. Whoever plays (evaluation, through the product's own agent loop) opens a world for a
problem, lets the model call, and gives `outcome` to the verifier."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.core.sample import Problem
from ponder.tasks.base import Task


class World(ABC):
    @abstractmethod
    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """What a call gives back. Raises UserError for what the model can put right."""

    @abstractmethod
    def outcome(self, text: str) -> str:
        """What is graded. text: the model's last words."""


class PlayedTask(Task):
    """steps: of the model, at most. servers: MCP servers whose tools may be called, as `mcpServers` of a config.
    shared: they keep nothing of what was called, so that all attempts may call the same ones."""

    steps: int = 12
    servers: Mapping[str, Any] = MappingProxyType({})
    shared: bool = False

    @abstractmethod
    def open(self, problem: Problem) -> World:
        """A new one, in the state in which the problem begins."""

    def reply(self, problem: Problem, thought: str | None) -> Message:
        raise UserError(f"{self.name} is played with tools: one turn of it teaches nothing", param="tasks")

    def act(self, problem: Problem, heard: Sequence[str]) -> Message:
        """The next turn of somebody who can do it. heard: the results of all calls so far."""
        raise UserError(f"{self.name} does not know how it is done: nobody can write its episodes", param="tasks")
