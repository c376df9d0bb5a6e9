"""What a validation found wrong is told in our words, and names the field that is meant."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_core._pydantic_core import list_all_errors

from core.schemas.run import RunConfig
from core.schemas.wording import expected, fault_of

#: Words of pydantic's sentences, which do not follow "it must be".
FOREIGN = re.compile(r"[Ss]hould|Input|[Uu]nable|Value error|required|[Ii]nvalid|^[A-Z](?!SON|TF|SCII|UID|RL)")


@pytest.mark.parametrize("kind", list_all_errors(), ids=lambda kind: kind["type"])
def test_every_kind_of_fault_that_pydantic_knows_follows_it_must_be(kind):
    context = {
        name: f"<{name}>" if value == "" else value for name, value in (kind.get("example_context") or {}).items()
    }
    for template in filter(None, (kind["message_template_python"], kind.get("message_template_json"))):
        message = re.sub(r"\{(\w+)\}", lambda found: str(context.get(found[1], "")), template)
        wanted = expected({"type": kind["type"], "msg": message, "ctx": context})
        if kind["type"] not in ("value_error", "assertion_error"):  # those are ours
            assert wanted and not FOREIGN.search(wanted), wanted


class Body(BaseModel):
    name: str = Field(default="a", pattern="^[a-z]+$", max_length=3)
    tags: list[str] = Field(default=[], max_length=1)
    flag: bool = True
    which: Annotated[Literal["a", "b"], Field()] = "a"
    sub: dict[str, int] = {}

    @field_validator("which")
    @classmethod
    def _own(cls, value: str) -> str:
        if value == "b":
            raise ValueError("another one today")
        return value


@pytest.mark.parametrize(
    ("content", "field", "value", "wanted"),
    [
        ({"name": "A"}, "name", "A", "text of the form ^[a-z]+$"),
        ({"name": "abcd"}, "name", "abcd", "text of at most 3 characters"),
        ({"name": 1}, "name", 1, "text"),
        ({"tags": ["a", "b"]}, "tags", ["a", "b"], "a list of at most 1 entry"),
        ({"tags": "a"}, "tags", "a", "a list"),
        ({"flag": "perhaps"}, "flag", "perhaps", "true or false"),
        ({"which": "c"}, "which", "c", "one of 'a' or 'b'"),
        ({"which": "b"}, "which", "b", "another one today"),
        ({"sub": 3}, "sub", 3, "an object of names and values"),
        ({"sub": {"x": "y"}}, "sub.x", "y", "a whole number"),
        ([], "", [], "an object of names and values"),
    ],
)
def test_a_fault_names_field_value_and_what_is_wanted(content, field, value, wanted):
    with pytest.raises(ValidationError) as caught:
        Body.model_validate(content)
    assert fault_of(caught.value.errors()[0]) == (field, value, wanted)


def test_a_rule_about_the_whole_names_the_field_that_it_is_about():
    content = {
        "backbone": "squeezenet",
        "kind": "snn",
        "mask": ["F9"],
        "dataset": "digits",
        "recipe": "fast",
        "seed": 0,
    }
    with pytest.raises(ValidationError) as caught:
        RunConfig.model_validate({**content, "training": {"milestones": [5, 2]}})
    assert fault_of(caught.value.errors()[0]) == ("training.milestones", "5,2", "rising epochs from 1 on")


def test_text_that_is_no_json_is_not_its_own_value():
    with pytest.raises(ValidationError) as caught:
        Body.model_validate_json("{" + "x" * 1000)
    assert fault_of(caught.value.errors()[0]) == ("", None, "JSON (key must be a string at line 1 column 2)")
