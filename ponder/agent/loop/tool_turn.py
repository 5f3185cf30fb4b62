"""The tools' turn in a run: whether a call may run, what it gave, and what the model reads of that."""

from typing import TYPE_CHECKING

from ponder.agent.loop.calls import DENIED, execute_all, failure, find, text_for_model
from ponder.agent.loop.event import (
    ApprovalGiven,
    ApprovalRequested,
    CallDone,
    CallProgress,
    CallStarted,
    Decision,
    RunLog,
)
from ponder.agent.loop.history import unanswered
from ponder.agent.loop.limits import RunBudget
from ponder.agent.loop.repetition_guard import RepeatGuard
from ponder.agent.loop.session import Session
from ponder.agent.tools.tool import Output, Tool, ToolContext
from ponder.core.message import Message, ToolCall

if TYPE_CHECKING:
    from ponder.agent.loop.agent import Agent


class ToolTurns:
    """decisions: those that a person has made already, by call id."""

    def __init__(
        self, agent: "Agent", conversation: str, session: Session | None, decisions: dict[str, Decision],
        budget: RunBudget, log: RunLog,
    ) -> None:  # fmt: skip
        self._agent, self._conversation, self._session = agent, conversation, session
        self._decisions, self._budget, self._log = decisions, budget, log
        self._guard = RepeatGuard(agent.limits.same_note, agent.limits.same_stop)

    async def answer_open_calls(self) -> tuple[ToolCall, ...]:
        """Executes every open call; returns those that must wait for a person."""
        tools = self._agent.tools()
        ready: list[tuple[ToolCall, Tool]] = []
        waiting: list[ToolCall] = []
        results: dict[str, CallDone] = {}
        calls = unanswered(self._log.messages)
        for call in calls:
            tool = find(tools, call.name)
            if isinstance(tool, Output):
                results[call.id] = CallDone(call.id, tool)
                continue
            decision = await self._decide(call, tool)
            if decision == "later":
                waiting.append(call)
            elif decision == "deny":
                results[call.id] = CallDone(call.id, failure(DENIED))
            else:
                ready.append((call, tool))
        if self._session is not None:
            results.update(self._session.interrupted(ready))
        ready = [(call, tool) for call, tool in ready if call.id not in results]
        for call, _ in ready:
            self._log.add(CallStarted(call))

        def done(event: CallDone) -> None:
            results[event.call_id] = event
            self._log.add(event)

        await execute_all(ready, self._context, self._budget.call_seconds, done)
        for call in calls:
            if call not in waiting:
                self.answer(call, results[call.id], logged=any(call is c for c, _ in ready))
        return tuple(waiting)

    def answer(self, call: ToolCall, done: CallDone, *, logged: bool = False) -> None:
        """Say to the model what a call gave. logged: the event was, already."""
        if not logged:
            self._log.add(done)
        text = text_for_model(done.output, self._budget.output_limit())
        self._budget.count_output(text)
        verdict = self._guard.saw(call, done.output)
        if verdict:
            text += f"\n\n{self._guard.remark(done.output)}"
        self._log.say(Message.tool(text, call_id=call.id, name=call.name))
        if verdict == "stop" and self._budget.stop is None:
            self._budget.stop_for("repetition")

    async def _decide(self, call: ToolCall, tool: Tool) -> Decision:
        if tool.approval == "deny":
            return "deny"
        if tool.approval == "auto" or tool.name in self._agent.always:
            return "once"
        decision = self._decisions.pop(call.id, None)
        if decision is None:
            self._log.add(ApprovalRequested(call, tool.description))
            decision = "later" if self._agent.approve is None else await self._agent.approve(call, tool)
        if decision != "later":
            self._log.add(ApprovalGiven(call.id, decision))
        if decision == "always":
            self._agent.always.add(tool.name)
        return decision

    def _context(self, call: ToolCall) -> ToolContext:
        def progress(text: str) -> None:
            self._log.show(CallProgress(call.id, text))

        return ToolContext(self._conversation, self._agent.workspace(self._conversation), progress)
