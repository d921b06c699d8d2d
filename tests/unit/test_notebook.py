"""How jobs, results and events look to a person."""

from __future__ import annotations

from generated import sunset_poster as wf
from invokeai_gen.server.events import InvocationProgress, JobEvent, Preview
from invokeai_gen.testing import FakeInvokeAI


def test_results_show_labels_values_and_pictures() -> None:
    with FakeInvokeAI() as fake:
        fake.returns(poster=(32, 16))
        out = wf.run(wf.Params(title='<script>alert("x")</script>'))
        html = out._repr_html_()
    assert '<th style="text-align:left">Sky Color</th>' in html
    assert "&lt;script&gt;" in html and "<script>" not in html
    assert html.count("data:image/webp;base64,") == 2


def test_a_job_shows_its_status_and_its_results_once_they_are_there() -> None:
    with FakeInvokeAI() as fake:
        job = wf.submit(wf.Params())
        job.wait(30)
        html = job._repr_html_()
        assert '<td style="text-align:left;white-space:pre-wrap">completed</td>' in html
        assert "queue item 1" in html
        assert fake.runs[0].item_id == job.item_id


def test_a_result_whose_picture_is_gone_says_so() -> None:
    with FakeInvokeAI() as fake:
        out = wf.run(wf.Params())
        fake.client.images.delete([out.poster.name])
        assert "<em>GET /api/v1/images/i/" in out._repr_html_()


def test_events_print_in_a_few_words() -> None:
    with FakeInvokeAI():
        events: list[JobEvent] = list(wf.submit(wf.Params()).events())
    texts = [str(event) for event in events]
    assert (texts[0], texts[-1]) == ("queue item 1: in_progress", "queue item 1: completed")
    assert "queue item 1: 'Poster' completed" in texts
    preview = Preview(8, 8, "data:image/jpeg;base64," + "A" * 100_000)
    progress = InvocationProgress(
        item_id=7, batch_id="b", node_id="n", prepared_id="p", node_type="t", node_label="Denoise",
        message="step\x1b[2J", percentage=0.5, preview=preview,
    )  # fmt: skip
    assert str(progress) == "queue item 7: 'Denoise' 50% (step\\x1b[2J)"
    assert len(repr(progress)) < 500


def test_values_show_their_labels_escaped() -> None:
    html = wf.Params(title="<b>Dusk</b>", width=300)._repr_html_()
    assert '<th style="text-align:left">Sky Color</th>' in html
    assert "&lt;b&gt;Dusk" in html
    assert ">300<" in html


def test_a_sweep_shows_how_far_it_is_and_each_result_its_pictures_or_its_error() -> None:
    with FakeInvokeAI() as fake:
        fake.returns(poster=(32, 16))
        fake.fails("out of memory <now>")
        sweep = wf.sweep(product={"width": [300, 400]}, errors="collect")
        good, bad = sweep.results()
        assert "2 of 2 ended" in sweep._repr_html_()
    assert "data:image/webp;base64," in good._repr_html_()
    assert "out of memory &lt;now&gt;" in bad._repr_html_()
    assert ">400<" in bad._repr_html_()
