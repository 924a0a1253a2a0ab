"""The diagram of slide 17 draws what its rows say: the network is the same, only the end differs."""

from matplotlib.patches import FancyBboxPatch

from robustdl_lib.plots.standard_practice import practice_rows, standard_practice


def test_both_lanes_are_one_network_and_differ_at_the_end_and_in_its_gradient():
    rows = practice_rows()
    standard, designed = (part.drop(columns="lane").to_numpy().tolist() for _, part in rows.groupby("lane", sort=False))
    differing = [one[0] for one, other in zip(standard, designed, strict=True) if one != other]
    assert differing == ["box", "backward"]
    words = rows["words"].str.cat(rows["formula"], sep=" ")
    assert words.str.contains("loss").groupby(rows["lane"]).any().to_dict() == {
        "standard practice": True,
        "derivative manipulation": False,
    }


def test_arrows_lead_from_box_to_box_forward_to_the_right_and_backward_to_the_left():
    for _, lane in practice_rows().groupby("lane"):
        boxes, forward, backward = (lane[lane["kind"] == kind] for kind in ("box", "forward", "backward"))
        assert (boxes["end"] > boxes["start"]).all()
        assert (boxes["start"].iloc[1:].to_numpy() > boxes["end"].iloc[:-1].to_numpy()).all()
        assert forward["start"].tolist() == boxes["end"].iloc[:-1].tolist()
        assert forward["end"].tolist() == boxes["start"].iloc[1:].tolist()
        assert backward[["end", "start"]].to_numpy().tolist() == forward[["start", "end"]].to_numpy().tolist()[1:]


def test_every_row_is_drawn_in_its_colour():
    rows = practice_rows()
    figure = standard_practice(rows)
    for ax, (_, lane) in zip(figure.axes, rows.groupby("lane", sort=False), strict=True):
        assert (
            len([patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]) == (lane["kind"] == "box").sum()
        )
        colors = [text.arrow_patch.get_edgecolor() for text in ax.texts if getattr(text, "arrow_patch", None)]
        red = [color for color in colors if color[0] > 0.5]
        assert len(red) == (lane["kind"] == "backward").sum()
        assert len(colors) - len(red) == (lane["kind"] == "forward").sum()
