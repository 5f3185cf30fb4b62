"""Tools that are offered in problems: how each is described, asked for in words, and drawn."""

import random
from dataclasses import dataclass
from typing import Any

Value = str | int
CITIES = ("Oslo", "Lima", "Kyoto", "Accra", "Quito", "Turin", "Perth", "Bergen")
PEOPLE = ("Ann", "Ben", "Cleo", "Dev", "Eli", "Fay")
CURRENCIES = ("EUR", "USD", "JPY", "CHF", "NOK")
TEXTS = ("See you at noon", "The train is late", "Happy birthday", "Please call me")


@dataclass(frozen=True)
class Offer:
    """parameters: name -> (JSON schema, what is drawn for it). asks: the request in words, with {parameter}."""

    about: str
    asks: str
    parameters: dict[str, tuple[dict[str, Any], tuple[Value, ...] | range]]

    def tool(self, name: str) -> dict[str, Any]:
        """The OpenAI object."""
        properties = {key: schema for key, (schema, _) in self.parameters.items()}
        schema = {"type": "object", "properties": properties, "required": list(self.parameters)}
        return {"type": "function", "function": {"name": name, "description": self.about, "parameters": schema}}

    def draw(self, rng: random.Random) -> dict[str, Value]:
        return {key: rng.choice(values) for key, (_, values) in self.parameters.items()}


def _text(about: str) -> dict[str, Any]:
    return {"type": "string", "description": about}


def _whole(about: str) -> dict[str, Any]:
    return {"type": "integer", "description": about}


OFFERS: dict[str, Offer] = {
    "get_weather": Offer(
        "The weather of a day in a city.",
        "What will the weather be in {city} in {days} days?",
        {"city": (_text("its name"), CITIES), "days": (_whole("from today"), range(1, 8))},
    ),
    "convert_currency": Offer(
        "Converts an amount of money.",
        "How much is {amount} {source} in {target}?",
        {
            "amount": (_whole("how much"), range(2, 900)),
            "source": (_text("code of three letters"), CURRENCIES[:3]),
            "target": (_text("code of three letters"), CURRENCIES[3:]),
        },
    ),
    "send_message": Offer(
        "Sends a short message to a person.",
        'Send {to} this message: "{text}"',
        {"to": (_text("first name"), PEOPLE), "text": (_text("the message, word by word"), TEXTS)},
    ),
    "set_timer": Offer(
        "Starts a timer.", "Set a timer for {minutes} minutes.", {"minutes": (_whole("how long"), range(1, 90))}
    ),
    "book_table": Offer(
        "Books a table in a restaurant.",
        "Book a table for {guests} at the {restaurant} at {hour} o'clock.",
        {
            "restaurant": (_text("its name"), ("Blue Fish", "Old Mill", "Garden")),
            "guests": (_whole("people"), range(2, 9)),
            "hour": (_whole("of the day, 0 to 23"), range(17, 23)),
        },
    ),
    "find_trains": Offer(
        "Finds trains between two cities.",
        "Which trains go from {origin} to {destination}?",
        {"origin": (_text("city"), CITIES[:4]), "destination": (_text("city"), CITIES[4:])},
    ),
    "play_music": Offer(
        "Plays music of an artist.",
        "Play {count} songs by {artist}.",
        {
            "artist": (_text("the name"), ("Nova", "The Larks", "Ensemble Nord")),
            "count": (_whole("songs"), range(1, 20)),
        },
    ),
    "add_event": Offer(
        "Puts an event into the calendar.",
        "Put a meeting with {person} into my calendar on the {day}th at {hour} o'clock.",
        {
            "person": (_text("first name"), PEOPLE),
            "day": (_whole("of this month"), range(4, 20)),
            "hour": (_whole("0 to 23"), range(8, 18)),
        },
    ),
}
