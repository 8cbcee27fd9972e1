"use strict";
// Cards as records: which fit the filters, in which order, and which of them are on the page.
const $ = (id) => document.getElementById(id);
const images = JSON.parse($("images").textContent);
const fields = { task: $("task"), tag: $("tag"), find: $("find"), sort: $("sort") };
const PORTION = 48; // cards that come onto the page at a time
const place = $("cards");
const records = [...place.children].map((card, number) => ({
  card,
  number,
  id: card.dataset.card,
  task: card.dataset.task,
  tag: card.dataset.tag,
  sure: card.dataset.sure === undefined ? 2 : Number(card.dataset.sure),
  items: [...card.querySelectorAll(".item")].map((element) => ({
    element,
    state: element.dataset.state,
    change: element.dataset.change,
    distance: Number(element.dataset.distance ?? 0),
    grade: element.querySelector(".shot").dataset.grade,
  })),
}));
const recordOf = new Map(records.map((record) => [record.card, record]));
let shown = records; // what fits, in order
let mounted = 0; // how many of them are on the page
let pinned = ""; // the card that a link leads to

// -- images come in when their card is near the screen
const show = (root) => {
  for (const image of root.querySelectorAll("img[data-i]:not([src])")) {
    image.decoding = "async";
    image.src = images.thumbnails[Number(image.dataset.i)];
  }
};
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    near.unobserve(entry.target);
    show(entry.target);
  }
}, { rootMargin: "800px 0px" });
const mount = (count) => {
  const part = shown.slice(mounted, Math.max(count, mounted));
  place.append(...part.map((record) => record.card));
  for (const record of part) near.observe(record.card);
  mounted += part.length;
  $("more").textContent = mounted < shown.length ? `${shown.length - mounted} more cards below` : "";
};
new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting) && mounted < shown.length) mount(mounted + PORTION);
}, { rootMargin: "1500px 0px" }).observe($("more"));
addEventListener("scroll", () => {
  if (mounted < shown.length && $("more").getBoundingClientRect().top < innerHeight + 1500) mount(mounted + PORTION);
}, { passive: true });
addEventListener("beforeprint", () => { mount(shown.length); show(place); });

// -- filters
const state = () => document.querySelector("input[name=state]:checked").value;
const textOf = (record) => (record.text ??= record.card.textContent.toLowerCase());
const fits = (item, wanted) => {
  if (wanted === "changed") return item.change !== "";
  if (wanted === "better" || wanted === "worse") return item.change === wanted;
  return wanted === "" || item.state === wanted;
};
const tags = () => {
  const before = fields.tag.value;
  const found = new Set();
  for (const record of records) {
    if (record.tag && (!fields.task.value || record.task === fields.task.value)) found.add(record.tag);
  }
  fields.tag.replaceChildren(new Option("all", ""), ...[...found].sort().map((tag) => new Option(tag)));
  fields.tag.value = found.has(before) ? before : "";
};
// Wrong before unscored, and low grades before high ones.
const fault = (item) => (item.grade !== undefined ? 2 * (1 - item.grade) : { wrong: 2, unscored: 1 }[item.state] ?? 0);
const ORDERS = {
  wrong: (record) => -record.items.reduce((sum, item) => sum + fault(item), 0) / record.items.length,
  unsure: (record) => record.sure,
  changed: (record) => -record.items.reduce((sum, item) => sum + item.distance, 0),
};
const address = () => {
  const chosen = new URLSearchParams();
  for (const [name, field] of Object.entries(fields)) if (field.value) chosen.set(name, field.value);
  if (state()) chosen.set("state", state());
  if (pinned) chosen.set("card", pinned);
  const hash = chosen.size ? `#gallery?${chosen}` : "#gallery";
  if (chosen.size || location.hash.startsWith("#gallery?")) history.replaceState(null, "", hash);
};
const apply = () => {
  const wanted = state();
  const words = fields.find.value.toLowerCase().trim();
  let count = 0;
  let cards = 0;
  shown = records.filter((record) => {
    const open = (!fields.task.value || record.task === fields.task.value)
      && (!fields.tag.value || record.tag === fields.tag.value)
      && (!words || textOf(record).includes(words));
    let own = 0;
    if (open) {
      for (const item of record.items) {
        item.fit = fits(item, wanted);
        own += item.fit;
      }
    }
    count += own;
    cards += own > 0;
    if (own === 0 && record.id === pinned) for (const item of record.items) item.fit = true;
    return own > 0 || record.id === pinned;
  });
  const order = ORDERS[fields.sort.value];
  if (order) {
    const keys = new Map(shown.map((record) => [record, order(record)]));
    shown.sort((a, b) => keys.get(a) - keys.get(b) || a.number - b.number);
  }
  for (const record of shown) {
    for (const item of record.items) item.element.classList.toggle("dim", !item.fit);
    record.card.classList.toggle("pinned", record.id === pinned);
  }
  mounted = 0;
  place.replaceChildren();
  mount(PORTION);
  $("count").value = `${count} sample${count === 1 ? "" : "s"} on ${cards} card${cards === 1 ? "" : "s"}`;
  $("none").hidden = cards > 0;
  $("pinned").hidden = !pinned;
  address();
};
const bring = (record, focus = true) => {
  const at = shown.indexOf(record);
  if (at < 0) return;
  if (at >= mounted) mount(at + PORTION);
  if (focus) record.card.focus({ preventScroll: true });
  record.card.scrollIntoView({ block: focus === "top" ? "start" : "nearest" });
};
const recall = () => {
  const chosen = new URLSearchParams(location.hash.split("?")[1] ?? "");
  fields.task.value = chosen.get("task") ?? "";
  tags();
  fields.tag.value = chosen.get("tag") ?? "";
  fields.find.value = chosen.get("find") ?? "";
  fields.sort.value = chosen.get("sort") ?? "";
  for (const radio of document.getElementsByName("state")) radio.checked = radio.value === (chosen.get("state") ?? "");
  for (const field of [fields.task, fields.tag, fields.sort]) if (field.selectedIndex < 0) field.value = "";
  if (!document.querySelector("input[name=state]:checked")) document.getElementsByName("state")[0].checked = true;
  const wanted = records.find((record) => record.id === chosen.get("card"));
  pinned = wanted ? wanted.id : "";
  apply();
  if (wanted) requestAnimationFrame(() => bring(wanted, "top"));
};
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("filters").addEventListener("input", (event) => {
  if (event.target === fields.task) tags();
  if (event.target !== $("boxes") && event.target !== fields.sort) pinned = "";
  if (event.target !== $("boxes")) apply();
});
$("boxes").addEventListener("change", () => document.body.classList.toggle("no-boxes", !$("boxes").checked));

// -- what is copied and taken away
const say = (text) => { $("said").textContent = text; };
const copy = async (text, button) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say("copied");
  if (!button) return;
  const before = button.textContent;
  button.textContent = "copied";
  setTimeout(() => { button.textContent = before; }, 1200);
};
const promptOf = (card) => card.querySelector("h3").textContent;
place.addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  const link = event.target.closest(".link");
  if (event.target.closest(".copy")) copy(promptOf(card), event.target);
  if (link) {
    event.preventDefault();
    pinned = card.dataset.card;
    address();
    copy(location.href, link);
    for (const record of records) record.card.classList.toggle("pinned", record.id === pinned);
  }
});
// No spreadsheet takes a text for a formula (OWASP's rule).
const cell = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
const table = () => {
  const lines = [["task", "tag", "group", "sample", "prompt", "run", "verdict", "grade", "change", "reason", "reply", "parsed", "answer", "points", "other"]];
  for (const record of shown) {
    const { task, tag, group } = record.card.dataset;
    for (const item of record.items.filter((each) => each.fit)) {
      for (const shot of item.element.querySelectorAll(".shot")) {
        const facts = {};
        for (const pair of shot.querySelectorAll("dl > div")) {
          const told = pair.querySelector("dd");
          const json = [...told.querySelectorAll("details")].at(-1);
          facts[pair.querySelector("dt").textContent] = (json ? json.textContent.replace(/^JSON/, "") : told.textContent).trim();
        }
        const { reply = "", parsed = "", answer = "", ...other } = facts;
        const verdict = [...shot.classList].find((name) => name !== "shot");
        const points = [...shot.querySelectorAll(".points li")].map((point) => point.textContent);
        lines.push([task, tag, group, item.element.dataset.id, promptOf(record.card), shot.dataset.run, verdict,
          shot.dataset.grade ?? "", item.change, shot.querySelector(".reason")?.textContent ?? "", reply, parsed, answer,
          points.join("\n"), JSON.stringify(other)]);
      }
    }
  }
  return lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
};
$("csv").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", table()], { type: "text/csv" }));
  link.download = "samples.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});
