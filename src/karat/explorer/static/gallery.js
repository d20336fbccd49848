// The gallery: of any number of samples, only the rows that can be seen are in the page.

const TALLEST = 4_000_000; // px: browsers lay out nothing beyond some 16 million
const ENDS = 200_000; // px at both ends of a taller gallery where a scrolled pixel is a pixel
const SPARE = 2; // rows above and below what is seen
const KEPT = 50; // blocks of samples that are remembered
const PAUSE = 60; // ms without scrolling before more is asked for
const REST = 250; // ms without scrolling before the address says where we are

const list = document.getElementById("gallery");
if (list) gallery(list, document.getElementById("space"));

function gallery(list, space) {
  const total = Number(list.dataset.total), size = Number(list.dataset.block);
  const known = new Map(); // number of a block -> its list items, the last used last
  const asked = new Map(); // number of a block -> what calls the request off
  let columns, height; // of a row, in px
  let anchor = { scrolled: 0, content: 0 }; // how far the page is scrolled into the gallery, and what stands there
  let pausing, resting;

  known.set(Number(list.dataset.first) / size, [...list.children]);
  document.documentElement.classList.add("virtual");
  history.scrollRestoration = "manual";
  measure();
  const at = Number(list.dataset.at);
  if (at > 0) show(at);
  render();
  addEventListener("scroll", scrolled, { passive: true });
  new ResizeObserver(resized).observe(space);

  function measure() {
    const style = getComputedStyle(list);
    columns = style.gridTemplateColumns.split(" ").length;
    const tile = list.querySelector("li:not(.waiting)") ?? list.firstElementChild;
    height = tile.getBoundingClientRect().height + parseFloat(style.rowGap);
    space.style.height = `${Math.min(rows() * height, TALLEST)}px`;
  }

  function rows() {
    return Math.ceil(total / columns);
  }

  // In a gallery taller than a page can be, the middle is scrolled through faster than the ends.
  function contentAt(scrolled) {
    const whole = rows() * height, tall = Math.min(whole, TALLEST);
    if (whole === tall || scrolled < ENDS) return scrolled;
    if (scrolled > tall - ENDS) return whole - (tall - scrolled);
    return ENDS + (scrolled - ENDS) * (whole - 2 * ENDS) / (tall - 2 * ENDS);
  }

  function scrolledTo(content) {
    const whole = rows() * height, tall = Math.min(whole, TALLEST);
    if (whole === tall || content < ENDS) return content;
    if (content > whole - ENDS) return tall - (whole - content);
    return ENDS + (content - ENDS) * (tall - 2 * ENDS) / (whole - 2 * ENDS);
  }

  function top() {
    return space.getBoundingClientRect().top + scrollY;
  }

  function show(sample) {
    const content = Math.floor(sample / columns) * height;
    anchor = { scrolled: scrolledTo(content), content };
    scrollTo({ top: top() + anchor.scrolled, behavior: "instant" });
  }

  function scrolled() {
    const now = scrollY - top(), moved = now - anchor.scrolled;
    const small = Math.abs(moved) < 2 * innerHeight && now > 0 && now < space.offsetHeight - innerHeight;
    anchor = { scrolled: now, content: small ? anchor.content + moved : contentAt(now) };
    render();
    clearTimeout(resting);
    resting = setTimeout(rest, REST);
  }

  // Where scrolling pixel by pixel has left the scroll bar behind, it catches up, and nothing that is seen moves.
  function rest() {
    const due = scrolledTo(anchor.content);
    if (Math.abs(due - anchor.scrolled) > 1 && anchor.content > 0) {
      anchor.scrolled = due;
      scrollTo({ top: top() + due, behavior: "instant" });
      render();
    }
    const address = new URL(location.href), sample = first();
    if (sample > 0) address.searchParams.set("at", sample);
    else address.searchParams.delete("at");
    if (address.href !== location.href) history.replaceState(null, "", address);
  }

  // The first sample that is seen whole, 0 while the top of the page is.
  function first() {
    return Math.min(total - 1, Math.max(0, Math.round(anchor.content / height)) * columns);
  }

  function resized() {
    const sample = first(), were = [columns, height, list.offsetWidth].join();
    measure();
    if ([columns, height, list.offsetWidth].join() === were) return;
    if (anchor.scrolled > 0) show(sample);
    render();
  }

  function seen() {
    const from = Math.max(0, Math.floor(anchor.content / height) - SPARE);
    const to = Math.min(rows(), Math.ceil((anchor.content + innerHeight) / height) + SPARE);
    return [Math.min(from, rows() - 1) * columns, Math.min(total, Math.max(to, 1) * columns)];
  }

  function render() {
    const [from, to] = seen();
    const items = [];
    for (let i = from; i < to; i++) items.push(known.get(Math.floor(i / size))?.[i % size] ?? waiting(i));
    replace(items);
    list.start = from + 1;
    list.style.transform = `translateY(${from / columns * height - anchor.content + anchor.scrolled}px)`;
    clearTimeout(pausing);
    if (items.some(item => item.className === "waiting")) pausing = setTimeout(ask, PAUSE);
  }

  // What stays is not touched: it keeps its focus.
  function replace(items) {
    const staying = new Set(items);
    for (const item of [...list.children]) if (!staying.has(item)) item.remove();
    let place = list.firstElementChild;
    for (const item of items) {
      if (item === place) place = place.nextElementSibling;
      else list.insertBefore(item, place);
    }
  }

  function waiting(i) {
    const shown = list.querySelector(`.waiting[data-at="${i}"]`);
    if (shown) return shown;
    const item = document.createElement("li");
    item.className = "waiting";
    item.dataset.at = i;
    item.ariaHidden = "true";
    item.style.height = `${height - parseFloat(getComputedStyle(list).rowGap)}px`;
    return item;
  }

  function ask() {
    const [from, to] = seen();
    const [oldest, newest] = [Math.floor(from / size), Math.floor((to - 1) / size)];
    for (const [number, request] of asked) if (number < oldest || number > newest) request.abort();
    for (let number = oldest; number <= newest; number++)
      if (!known.has(number) && !asked.has(number)) fetchBlock(number);
  }

  async function fetchBlock(number) {
    const request = new AbortController();
    asked.set(number, request);
    try {
      const address = `${list.dataset.rows}&offset=${number * size}&limit=${size}`;
      const answer = await fetch(address, { signal: request.signal });
      if (!answer.ok) throw new Error(answer.statusText);
      const part = document.createElement("template");
      part.innerHTML = await answer.text();
      remember(number, [...part.content.children]);
      render();
    } catch {
      // called off, or the explorer has ended: the next time that somebody scrolls here it is asked again
    } finally {
      asked.delete(number);
    }
  }

  function remember(number, items) {
    known.set(number, items);
    for (const [old, its] of known) {
      if (known.size <= KEPT) break;
      if (!its.some(item => item.isConnected)) known.delete(old);
    }
    dispatchEvent(new CustomEvent("tiles", { detail: items }));
  }
}
