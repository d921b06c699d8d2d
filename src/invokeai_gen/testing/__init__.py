"""Testing programs that run workflows, without a server: a pytest plugin with the fixture `invokeai`.

    def test_poster(invokeai):
        invokeai.returns(poster=Image.new("RGB", (768, 512), "navy"))
        make_poster("calm")                                # calls wf.run(...) as usual
        assert invokeai.runs[0].params.mood == "calm"

The real client runs against a fake server in memory: values are checked, uploaded and looked up as always, requests and
events take the same form, and errors are the same. Only the nodes are not executed: their results are scripted.
"""

from invokeai_gen.testing.fake import FakeInvokeAI
from invokeai_gen.testing.outcomes import Run

__all__ = ["FakeInvokeAI", "Run"]
