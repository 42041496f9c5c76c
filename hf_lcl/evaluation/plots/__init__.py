"""
Plots of a classifier. Each function draws one figure in the colours of matplotlib's current style;
`theme.save_picture` writes it in a light and in a dark style.

They share these arguments: `names` (`list[str]`) are the class names by id; `order` (`list[int]`) are the class ids in
the order to draw, as in [`ClassTree`].
"""

from ...support.extras import load_extra


load_extra("matplotlib", extra="plots")  # before a file of this folder imports it
