"""Search page with thumbnails; it contains its vectors, so it needs no server."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from lab_devise.data import DeviseData
from lab_devise.search import pictures_of

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["search_page", "sheet"]

MAX_PICTURES, MAX_WORDS = 300, 4000


def search_page(learner: Learner, vectors: Tensor, *, title: str = "Search") -> str:
    """Return the page: type words to see the images nearest to their mean.

    Args:
        learner: trained on ``devise`` data.
        vectors: (N, D), outputs for its images.
        title: title of the page.
    """
    data: Any = learner.data
    places, classes = pictures_of(data)
    # Evenly spaced over classes and splits; the page stays below a few megabytes.
    chosen = np.linspace(0, len(places) - 1, min(MAX_PICTURES, len(places))).astype(int)
    words = (*data.class_names, *data.words)[:MAX_WORDS]
    held_out = set(data.class_names[data.trained_count :])
    content = {
        "width": data.output_size,
        "words": words,
        "wordVectors": _packed(np.concatenate([data.class_vectors.numpy(), data.word_vectors.numpy()])[: len(words)]),
        "pictureVectors": _packed(vectors.numpy()[chosen]),
        "pictures": [_thumbnail(data.pixels(places[each][1], places[each][0])) for each in chosen],
        "names": [data.class_names[int(classes[each])] for each in chosen],
        "heldOut": sorted(held_out),
        "start": data.class_names[0],
    }
    # "</script>" in a class name must not end the script element.
    text = json.dumps(content, ensure_ascii=False).replace("</", "<\\/")
    return PAGE.replace("@title@", title).replace("@content@", text)


def _packed(vectors: np.ndarray) -> str:
    """Return unit vectors as bytes, integers from -127 to 127; a cosine changes by less than 0.01."""
    # A byte per value instead of four; the page normalizes again.
    scaled = vectors / np.abs(vectors).max(1, keepdims=True).clip(1e-9)
    return base64.b64encode(np.round(127 * scaled).astype(np.int8).tobytes()).decode()


def _thumbnail(pixels: Tensor) -> str:
    from PIL import Image

    array = (255 * pixels).round().byte().numpy()
    picture = Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def sheet(data: DeviseData, pictures: Sequence[int], titles: Sequence[str]) -> bytes:
    """Return images with titles as one PNG."""
    from matplotlib.figure import Figure

    columns = max(1, min(3 if len(pictures) <= 9 else 6, len(pictures)))
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(2 * columns, 2.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    places, _ = pictures_of(data)
    for axis in axes:
        axis.set_axis_off()
    for axis, number, title in zip(axes, pictures, titles, strict=False):
        split, place = places[number]
        pixels = data.pixels(place, split).numpy()
        axis.imshow(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>@title@</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; margin: 1rem; color: #222; background: #fff }
 input { font: inherit; padding: .4rem .6rem; width: 22rem; max-width: 90% }
 #told { min-height: 1.5rem; color: #555; margin: .4rem 0 }
 #found { display: flex; flex-wrap: wrap; gap: .8rem; padding: 0; list-style: none }
 #found li { width: 96px; font-size: 12px; text-align: center }
 #found img { width: 96px; height: 96px; image-rendering: pixelated; border: 1px solid #ccc; object-fit: contain }
 .new { color: #a04000 }
</style></head><body>
<label>One or more words (their mean is searched):
<input id="words" list="known" autocomplete="off" spellcheck="false"></label>
<datalist id="known"></datalist><div id="told" role="status"></div><ul id="found"></ul>
<script id="content" type="application/json">@content@</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("content").textContent);
const unpack = (text) => {
  const bytes = Int8Array.from(atob(text), (letter) => letter.charCodeAt(0)), rows = [];
  for (let start = 0; start < bytes.length; start += data.width) {
    const row = Float32Array.from(bytes.subarray(start, start + data.width));
    const length = Math.hypot(...row) || 1;
    rows.push(row.map((each) => each / length));
  }
  return rows;
};
const words = unpack(data.wordVectors), pictures = unpack(data.pictureVectors);
const places = new Map(data.words.map((word, place) => [word.toLowerCase(), place]));
const dot = (a, b) => a.reduce((sum, each, place) => sum + each * b[place], 0);
const told = document.getElementById("told"), found = document.getElementById("found");
for (const word of data.words.slice(0, 1000)) {
  const option = document.createElement("option");
  option.value = word;
  document.getElementById("known").append(option);
}
function search(text) {
  const whole = text.toLowerCase().trim();
  const asked = places.has(whole) ? [whole] : whole.split(/[\\s,+]+/).filter(Boolean);
  found.replaceChildren();
  if (!asked.length) { told.textContent = ""; return; }
  const unknown = asked.filter((word) => !places.has(word));
  if (unknown.length) {
    const near = data.words.filter((word) => word.startsWith(unknown[0].slice(0, 3))).slice(0, 8);
    told.textContent = `“${unknown[0]}” has no vector here.` + (near.length ? ` Similar: ${near.join(", ")}` : "");
    return;
  }
  const query = new Float32Array(data.width);
  for (const word of asked) words[places.get(word)].forEach((each, place) => { query[place] += each; });
  const length = Math.hypot(...query) || 1;
  const order = pictures.map((row, place) => [dot(row, query) / length, place]).sort((a, b) => b[0] - a[0]);
  told.textContent = `${asked.join(" + ")}: nearest of ${pictures.length} images`;
  for (const [similarity, place] of order.slice(0, 18)) {
    const item = document.createElement("li"), image = document.createElement("img");
    image.src = data.pictures[place];
    image.alt = data.names[place];
    const caption = document.createElement("div");
    caption.textContent = `${data.names[place]} ${similarity.toFixed(2)}`;
    if (data.heldOut.includes(data.names[place])) { caption.className = "new"; caption.title = "never trained"; }
    item.append(image, caption);
    found.append(item);
  }
}
const input = document.getElementById("words");
input.addEventListener("input", () => search(input.value));
input.value = data.start;
search(input.value);
</script></body></html>
"""
