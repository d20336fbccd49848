// Drag over a histogram to choose a range. The two fields beside it hold the same range, for the keyboard.

const CLICK = 0.01; // of the width: less is no range

for (const histogram of document.querySelectorAll(".histogram")) brush(histogram);

function brush(histogram) {
  const plot = histogram.querySelector(".plot");
  const shade = histogram.querySelector(".brush");
  const [from, to] = histogram.closest("figure").querySelectorAll('input[type="number"]');
  const low = Number(histogram.dataset.low), high = Number(histogram.dataset.high);
  const before = ["x", "width"].map(name => shade.getAttribute(name));
  let start = null;

  const share = event => {
    const box = plot.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const draw = (x, width) => {
    shade.setAttribute("x", x);
    shade.setAttribute("width", width);
  };
  const leave = () => {
    start = null;
    draw(...before);
  };

  plot.addEventListener("pointerdown", event => {
    if (event.button !== 0) return;
    start = share(event);
    plot.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  plot.addEventListener("pointermove", event => {
    if (start === null) return;
    const end = share(event);
    draw(`${100 * Math.min(start, end)}%`, `${100 * Math.abs(end - start)}%`);
  });
  plot.addEventListener("pointercancel", leave);
  addEventListener("keydown", event => {
    if (event.key === "Escape" && start !== null) leave();
  });
  plot.addEventListener("pointerup", event => {
    if (start === null) return;
    const ends = [start, share(event)].sort((a, b) => a - b);
    start = null;
    const all = ends[1] - ends[0] < CLICK; // a click takes the range away
    if (all && from.value === "" && to.value === "") return draw(...before);
    from.value = all || ends[0] === 0 ? "" : rounded(low + ends[0] * (high - low), low, high);
    to.value = all || ends[1] === 1 ? "" : rounded(low + ends[1] * (high - low), low, high);
    from.form.requestSubmit();
  });
}

// As many digits as a thousandth of the axis has.
function rounded(value, low, high) {
  const step = 10 ** Math.floor(Math.log10((high - low) / 1000));
  return Number((Math.round(value / step) * step).toPrecision(6));
}
