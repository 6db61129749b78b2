"""The report's page in a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.report.browser import open_browser
from tests.report.conftest import Reported

CHARTS = ("curves", "costs", "classes", "confusion")


@pytest.fixture(scope="module", params=[(1280, 900, "light"), (390, 844, "dark")], ids=["desktop", "phone"])
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    browser = open_browser(tmp_path_factory.mktemp("profile"), *request.param)
    yield browser
    browser.quit()


@pytest.fixture
def window(browser: Any, reported: Reported) -> Any:
    browser.get((reported.directory / "report.html").as_uri())
    return browser


def hover(window: Any, chart: str, x: float, y: float) -> str:
    """Moves the pointer over a chart, to shares of its plotting area, and returns what it answers."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    box = window.find_element("id", chart)
    window.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    offsets = window.execute_script(
        "const [box, x, y] = arguments, size = box._fullLayout._size;"
        "return [size.l + x * size.w - box.clientWidth / 2, size.t + y * size.h - box.clientHeight / 2]",
        box,
        x,
        y,
    )
    mouse = ActionChains(window)
    mouse.move_to_element_with_offset(box, *(round(offset) - 3 for offset in offsets)).perform()
    mouse.move_to_element_with_offset(box, *map(round, offsets)).perform()
    find = f"return document.querySelector('#{chart} .hoverlayer .hovertext')?.textContent"
    answer: str = WebDriverWait(window, 5).until(lambda window: window.execute_script(find))
    return answer


def test_it_renders_in_the_window_s_width_without_an_error(window: Any) -> None:
    for chart in CHARTS:
        assert window.execute_script(f"return document.querySelectorAll('#{chart} .main-svg').length") > 0
    widths = window.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    assert window.get_log("browser") == []


def test_charts_answer_to_hovering(window: Any) -> None:
    assert "predicted as" in hover(window, "confusion", 0.5, 0.5)
    point = window.execute_script(
        "const box = document.getElementById('curves'), trace = box._fullData[0];"
        "const {xaxis, yaxis, _size} = box._fullLayout;"
        "return [xaxis.d2p(trace.x[1]) / _size.w, yaxis.d2p(trace.y[1]) / _size.h]"
    )
    assert "epoch 2: validation" in hover(window, "curves", *point)


def test_the_colours_follow_the_reader_s_preference(window: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    ground = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    ink = "return document.getElementById('curves')._fullLayout.font.color"
    redrawn = f"{ink.removeprefix('return ')} === getComputedStyle(document.documentElement).getPropertyValue('--ink')"
    seen = {}
    for theme in ("light", "dark"):
        wants = [{"name": "prefers-color-scheme", "value": theme}]
        window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wants})
        WebDriverWait(window, 5).until(lambda window: window.execute_script(f"return {redrawn}"))
        seen[theme] = (sum(window.execute_script(ground)) / 3, window.execute_script(ink))
    assert seen["light"][0] > 200 > 60 > seen["dark"][0]
    assert seen["light"][1] != seen["dark"][1]


def test_a_choice_changes_the_chart_and_a_click_sorts_the_table(window: Any) -> None:
    choose = (
        "const choice = document.querySelector('select[data-for=\"curves\"]'); choice.value = 'loss';"
        "choice.dispatchEvent(new Event('change'));"
        "return document.getElementById('curves')._fullLayout.yaxis.title.text"
    )
    assert window.execute_script(choose) == "loss"
    rows = "return [...document.querySelectorAll('#comparison tbody th')].map((head) => head.textContent)"
    before = window.execute_script(rows)
    window.execute_script("document.querySelector('#comparison thead th').click()")
    falling = window.execute_script(rows)
    window.execute_script("document.querySelector('#comparison thead th').click()")
    assert falling == sorted(before, reverse=True)
    assert window.execute_script(rows) == sorted(before)
