// The enlarged image: alone, beside another one of its sample, or behind a slider.
const large = $("large");
const partner = $("partner");
let current = null;
let view = "single";

const picture = (frame) => {
  const made = frame.cloneNode(true);
  const image = made.querySelector("img");
  made.tabIndex = -1;
  if (image) image.src = images.full[image.dataset.i] ?? images.thumbnails[Number(image.dataset.i)];
  return made;
};
const named = (frame) => {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = frame.dataset.name;
  figure.append(picture(frame), caption);
  return figure;
};
// Other images of the same sample: of other runs, sources, references.
const partners = (frame) => {
  const card = frame.closest(".card");
  const item = frame.closest(".item") ?? card.querySelector(".item");
  const beside = [...item.querySelectorAll(".frame"), ...card.querySelectorAll(".references .frame")];
  if (card.matches(".edit")) beside.push(...card.querySelectorAll(".asked .frame"));
  return beside.filter((each) => each !== frame);
};
const slider = (left, right) => {
  const box = document.createElement("div");
  const top = picture(left);
  const range = document.createElement("input");
  box.className = "slider";
  top.classList.add("top");
  range.type = "range";
  range.value = 50;
  range.setAttribute("aria-label", `how much of ${left.dataset.name} covers ${right.dataset.name}`);
  const cut = () => { top.style.clipPath = `inset(0 ${100 - range.value}% 0 0)`; };
  range.addEventListener("input", cut);
  cut();
  const names = document.createElement("p");
  names.className = "names";
  names.append(...[left, right].map((frame) => Object.assign(document.createElement("span"), { textContent: frame.dataset.name })));
  const both = document.createElement("div");
  both.className = "both";
  both.append(picture(right), top);
  box.append(both, range, names);
  return box;
};
const measure = (frame) => {
  const image = frame.querySelector("img");
  $("size").textContent = "";
  if (!image) return;
  const [width, height] = [image.getAttribute("width"), image.getAttribute("height")];
  const whole = images.full[image.dataset.i] !== undefined || image.naturalWidth >= Number(width);
  $("size").textContent = whole || !image.naturalWidth ? `${width} × ${height} pixels` : `a thumbnail of ${width} × ${height} pixels`;
};
const stage = () => {
  const others = partners(current);
  const chosen = others[partner.selectedIndex] ?? others[0];
  const how = chosen ? view : "single";
  large.querySelector(".views").hidden = others.length === 0;
  for (const button of large.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", button.dataset.view === how);
  partner.parentElement.hidden = how === "single";
  large.classList.toggle("wide", how === "side");
  const content = how === "side" ? [named(current), named(chosen)] : [how === "slider" ? slider(current, chosen) : picture(current)];
  const place = large.querySelector(".stage");
  place.className = `stage ${how}`;
  place.replaceChildren(...content);
};
const enlarge = (frame) => {
  current = frame;
  const card = frame.closest(".card");
  show(card);
  const before = partner.selectedIndex;
  partner.replaceChildren(...partners(frame).map((each) => new Option(each.dataset.name)));
  partner.selectedIndex = Math.max(0, Math.min(before, partner.length - 1));
  stage();
  const parts = [card.querySelector("header"), frame.parentElement.querySelector(".run"), frame.parentElement.querySelector("figcaption")];
  large.querySelector(".told").replaceChildren(...parts.filter(Boolean).map((part) => part.cloneNode(true)));
  for (const tools of large.querySelectorAll(".told .tools")) tools.remove();
  if (!large.open) large.showModal();
  measure(frame);
};
// Arrows walk through what fits the filters, whether it is on the page yet or not.
const framesOf = (record) => [...record.card.querySelectorAll(".asked .frame, .references .frame, .item:not(.dim) .frame")];
const step = (way) => {
  const record = recordOf.get(current.closest(".card"));
  const own = framesOf(record);
  let next = own[own.indexOf(current) + way];
  for (let at = shown.indexOf(record) + way; !next && shown[at]; at += way) {
    const frames = framesOf(shown[at]);
    next = way > 0 ? frames[0] : frames.at(-1);
    if (next) bring(shown[at], false);
  }
  if (next) enlarge(next);
};
place.addEventListener("click", (event) => {
  const frame = event.target.closest(".frame");
  if (frame) enlarge(frame);
});
large.addEventListener("click", (event) => {
  const button = event.target.closest("[data-view]");
  if (button) { view = button.dataset.view; stage(); }
  if (event.target === large) large.close();
});
partner.addEventListener("input", stage);
large.addEventListener("close", () => current?.focus());
$("back").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("copy-large").addEventListener("click", (event) => copy(promptOf(current.closest(".card")), event.target));
