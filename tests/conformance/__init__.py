"""The conformance table: what of each API reaches each other one, found out by asking.

`features` says what there is: for each feature, how a client of each API asks for it, what an upstream of each API must
then receive, what it answers, and what a client of each API must hear. `run` plays all of it through one gateway in
nine directions, as whole answers and as streams; `page` writes down what was seen. `python -m conformance` renews
`docs/conformance.md`, and `test_conformance` fails where the page and what is seen differ.
"""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
