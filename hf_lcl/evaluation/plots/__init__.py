"""
Plots of a classifier. Each function draws one figure in one theme; `theme.save_picture` writes it in both.

They share these arguments: `names` (`list[str]`) are the class names by id; `order` (`list[int]`) are the class ids in
the order to draw, as in [`ClassTree`]; `theme` ([`Theme`]) has the colours.
"""

from ...support.extras import load_extra


load_extra("matplotlib", extra="plots")  # before a file of this folder imports it
