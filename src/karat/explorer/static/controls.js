// Fields that take effect when they change, labels that are offered while one types, and arrow keys between samples.

document.documentElement.classList.add("scripted");

for (const field of document.querySelectorAll("[data-submits]"))
  field.addEventListener("change", () => field.form.requestSubmit());

for (const field of document.querySelectorAll("[data-offers]")) {
  const list = field.list;
  let waiting;
  const offer = async () => {
    const answer = await fetch(`${field.dataset.offers}?prefix=${encodeURIComponent(field.value)}`).catch(() => null);
    if (answer?.ok) list.replaceChildren(...(await answer.json()).map(label => new Option("", label)));
  };
  field.addEventListener("focus", offer, { once: true });
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(offer, 120);
  });
}

addEventListener("keydown", event => {
  const way = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  if (!way || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.target.closest("input, select, textarea, [tabindex]")) return;
  document.querySelector(`.walk a[rel="${way}"]`)?.click();
});
