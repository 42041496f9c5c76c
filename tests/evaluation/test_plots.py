"""Plots of few and many classes, in both themes, identical each time."""

import warnings
from importlib.util import find_spec

import numpy as np
import pytest
from matplotlib.image import imread

from hf_lcl.evaluation import class_tree, reliability_bins
from hf_lcl.evaluation.plots.curves import plot_reliability, plot_training_curves
from hf_lcl.evaluation.plots.embedding_map import plot_embedding_map, project
from hf_lcl.evaluation.plots.fonts import _fonts_for, missing_fonts, use_fonts
from hf_lcl.evaluation.plots.matrices import plot_confusion_matrix, plot_label_relations
from hf_lcl.evaluation.plots.theme import new_figure, save_picture


def shares(classes: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).dirichlet(np.full(classes, 0.1), size=classes)
    values[:-1, 0], values[-1] = 0, np.nan  # a class that is never predicted, and one without texts
    return values


@pytest.mark.parametrize(("classes", "numbered"), [(2, True), (30, True), (31, False)])
def test_matrices_name_every_class_in_the_given_order(classes, numbered):
    names = [f"class ${index}" for index in range(classes)]
    values = shares(classes)
    tree = class_tree(values)
    expected = [names[index] for index in tree.order]
    confusion = plot_confusion_matrix(values, names, tree.order)
    relations = plot_label_relations(values, names, tree)
    for axes in (confusion.axes[0], relations.axes[1]):
        assert [label.get_text() for label in axes.get_yticklabels()] == expected
        assert [label.get_text() for label in axes.get_xticklabels()] == expected
        assert bool(axes.texts) == numbered
        # Lines of text do not overlap.
        height = axes.figure.get_figheight() * 72 / classes
        assert height > axes.get_yticklabels()[0].get_fontsize()
    # Each merge is a bracket; brackets of single classes are aligned with the rows of the heat map, from the top.
    brackets = [path.vertices for part in relations.axes[0].collections for path in part.get_paths()]
    assert len(brackets) == classes - 1
    leaves = [y for bracket in brackets for x, y in bracket if x == 0]
    assert sorted(leaves) == [10 * row + 5 for row in range(classes)]
    assert relations.axes[0].get_ylim() == (10 * classes, 0)


@pytest.mark.parametrize("lowest", [0.33, 0.04, 1e-6])
def test_the_relations_are_drawn_in_multiples_of_equal_weights_on_one_scale(lowest):
    weights = np.full((3, 3), lowest)
    np.fill_diagonal(weights, 1 - 2 * lowest)
    figure = plot_label_relations(weights, ["a", "b", "c"], class_tree(weights))
    image = figure.axes[1].images[0]
    np.testing.assert_allclose(image.get_array(), np.maximum(3 * weights, 1 / 30))
    assert image.get_clim() == (1 / 30, 30)
    shown = [label.get_text() for label in figure.axes[2].yaxis.get_ticklabels()]
    assert shown == ["0.033", "0.1", "0.33", "1", "3", "10", "30"]


def drawn_map(names: list[str], highlighted: list[int]):
    rng = np.random.default_rng(0)
    points, axis_labels = project(rng.normal(size=(200, 4)), method="pca")
    labels = rng.integers(len(names) - 1, size=200)  # the last class has no text
    return plot_embedding_map(points, axis_labels, labels, names, highlighted), labels


def test_the_legend_of_the_map_has_names_that_begin_with_a_low_line():
    figure, _ = drawn_map(["_other", "joy", "__init__"], [2, 0, 1])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["__init__", "_other", "joy"]


def test_letters_are_taken_from_whatever_font_has_them(tmp_path):
    # Of matplotlib's own fonts, STIXGeneral has this letter and DejaVu Sans does not.
    letter = "\N{MATHEMATICAL SCRIPT CAPITAL A}"
    assert missing_fonts(f"joy {letter}") == []

    def draw():
        figure = new_figure(2, 2)
        figure.text(0.1, 0.1, letter)
        return figure

    figure = draw()
    use_fonts(figure)
    assert figure.texts[0].get_fontfamily()[0] == "DejaVu Sans"
    assert len(figure.texts[0].get_fontfamily()) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of glyphs that it does not find
        figure.savefig(tmp_path / "figure.png")
        save_picture(draw, tmp_path, "figure")


@pytest.mark.parametrize(
    ("letter", "font"),
    [
        ("喜", "Noto Sans CJK"),
        ("か", "Noto Sans CJK"),
        ("기", "Noto Sans CJK"),
        ("क", "Noto Sans Devanagari"),
        ("ไ", "Noto Sans Thai"),
        ("\N{EGYPTIAN HIEROGLYPH A001}", "Noto Sans Egyptian"),
    ],
)
def test_the_font_that_is_missing_is_named(letter, font, monkeypatch):
    manager = pytest.importorskip("matplotlib.font_manager").fontManager
    shipped = [entry for entry in manager.ttflist if "matplotlib" in entry.fname]
    monkeypatch.setattr(manager, "ttflist", shipped)  # ignores other installed fonts
    _fonts_for.cache_clear()
    assert missing_fonts(f"joy ärger گل {letter}") == [font]
    _fonts_for.cache_clear()


@pytest.mark.parametrize("classes", [3, 40])
def test_a_map_shows_every_text_and_names_every_class_at_its_centroid(classes):
    names = [f"class {index}" for index in range(classes)]
    figure, labels = drawn_map(names, list(range(min(classes, 10))))
    axes = figure.axes[0]
    assert sum(len(collection.get_offsets()) for collection in axes.collections) == 200
    assert sorted(text.get_text() for text in axes.texts) == sorted({names[label] for label in labels})
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == (names if classes == 3 else ["other classes", *names[:10]])
    assert "of the variance" in axes.get_xlabel()
    # Ten classes, all with different markers.
    kinds = [(*part.get_facecolor()[0], len(part.get_paths()[0].vertices)) for part in axes.collections]
    assert len(set(kinds)) == len(kinds)


def test_principal_components_are_of_the_directions_alone():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(30, 8))
    lengths = rng.uniform(0.1, 10, size=(30, 1))
    points, _ = project(embeddings, method="pca")
    stretched, _ = project(embeddings * lengths, method="pca")
    np.testing.assert_allclose(points, stretched, atol=1e-8)


def test_the_map_is_of_umap_where_that_is_installed_and_there_are_texts_enough():
    embeddings = np.random.default_rng(0).normal(size=(16, 8))
    if find_spec("umap"):
        points, axis_labels = project(embeddings)
        assert axis_labels == ["UMAP 1", "UMAP 2"]
        assert np.array_equal(points, project(embeddings, method="umap")[0])
    else:
        assert project(embeddings)[1][0].startswith("principal component 1")
        with pytest.raises(ImportError, match=r'pip install "hf_lcl\[umap\]"'):
            project(embeddings, method="umap")
    assert project(embeddings[:15])[1][0].startswith("principal component 1")


def test_curves_show_the_parts_that_were_logged():
    history = [
        {"step": 1, "loss": 2.0, "loss_ce": 1.5, "loss_contrastive": -0.1},
        {"step": 2, "loss": 1.5, "loss_ce": 1.0, "loss_contrastive": -0.2},
        {"step": 2, "eval_loss": 1.4, "eval_accuracy": 0.6},
        {"step": 2, "train_runtime": 3.0},
    ]
    losses, scores = plot_training_curves(history).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in losses.lines}
    assert lines == {
        "loss": [[1, 2.0], [2, 1.5]],
        "cross-entropy": [[1, 1.5], [2, 1.0]],
        "contrastive": [[1, -0.1], [2, -0.2]],
        "loss in evaluation": [[2, 1.4]],
    }
    assert [line.get_label() for line in scores.lines] == ["accuracy"]
    assert len(plot_training_curves(history[:2]).axes) == 1


def test_both_themes_are_written_on_their_background_and_equal_each_time(tmp_path):
    rng = np.random.default_rng(0)
    bins = reliability_bins(rng.normal(size=(50, 3)), rng.integers(3, size=50))
    paths = save_picture(lambda: plot_reliability({"As it is": bins}), tmp_path, "reliability")
    assert [path.name for path in paths] == ["reliability.png", "reliability_dark.png"]
    first = [path.read_bytes() for path in paths]
    light, dark = (imread(path)[0, 0, :3] for path in paths)
    assert light.min() > 0.95
    assert dark.max() < 0.15
    save_picture(lambda: plot_reliability({"As it is": bins}), tmp_path, "reliability")
    assert [path.read_bytes() for path in paths] == first
