// Samples that are chosen one by one, to be tagged together; they stay chosen while the gallery is scrolled.

const form = document.querySelector(".tagging");
if (form) choosing(form, document.getElementById("gallery"));

function choosing(form, list) {
  const chosen = new Set();
  const told = document.getElementById("chosen");
  const buttons = [document.getElementById("tag-chosen"), document.getElementById("clear")];
  const all = form.querySelector('[name="all"]');

  function tell() {
    told.textContent = chosen.size ? `${chosen.size.toLocaleString("en")} chosen` : "";
    for (const button of buttons) button.hidden = chosen.size === 0;
    all.hidden = chosen.size > 0;
    form.classList.toggle("choosing", chosen.size > 0);
  }

  list.addEventListener("change", event => {
    const { value, checked } = event.target;
    if (checked) chosen.add(value);
    else chosen.delete(value);
    tell();
  });
  addEventListener("tiles", event => {
    for (const item of event.detail) {
      const box = item.querySelector("input");
      if (box) box.checked = chosen.has(box.value);
    }
  });
  buttons[1].addEventListener("click", () => {
    chosen.clear();
    for (const box of list.querySelectorAll("input")) box.checked = false;
    tell();
  });
  form.addEventListener("formdata", event => {
    event.formData.set("next", location.pathname + location.search);
    if (!event.formData.has("all")) for (const id of chosen) event.formData.append("id", id);
  });
  for (const box of list.querySelectorAll("input:checked")) chosen.add(box.value); // as the browser restored them
  tell();
}
