"use strict";
{
  const $ = (id) => document.getElementById(id);
  const images = JSON.parse($("images").textContent);
  const cards = [...document.querySelectorAll("#cards > .card")];
  const texts = new Map();
  const fields = { task: $("task"), tag: $("tag"), find: $("find") };

  // -- images come in when their card is near the screen
  const show = (root) => {
    for (const image of root.querySelectorAll("img[data-i]:not([src])")) {
      image.decoding = "async";
      image.src = images[Number(image.dataset.i)];
    }
  };
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watch.unobserve(entry.target);
      show(entry.target);
    }
  }, { rootMargin: "800px 0px" });
  cards.forEach((card) => watch.observe(card));
  addEventListener("beforeprint", () => show(document));

  // -- filters
  const state = () => document.querySelector("input[name=state]:checked").value;
  const text = (card) => {
    if (!texts.has(card)) texts.set(card, card.textContent.toLowerCase());
    return texts.get(card);
  };
  const fits = (item, wanted) => {
    const change = item.dataset.change;
    if (wanted === "changed") return change !== "";
    if (wanted === "better" || wanted === "worse") return change === wanted;
    return wanted === "" || item.dataset.state === wanted;
  };
  const tags = () => {
    const before = fields.tag.value;
    const found = new Set();
    for (const card of cards) {
      if (card.dataset.tag && (!fields.task.value || card.dataset.task === fields.task.value))
        found.add(card.dataset.tag);
    }
    fields.tag.replaceChildren(new Option("all", ""), ...[...found].sort().map((tag) => new Option(tag)));
    fields.tag.value = found.has(before) ? before : "";
  };
  const apply = () => {
    const wanted = state();
    const words = fields.find.value.toLowerCase().trim();
    let shownCards = 0;
    let shownItems = 0;
    for (const card of cards) {
      let count = 0;
      const open = (!fields.task.value || card.dataset.task === fields.task.value)
        && (!fields.tag.value || card.dataset.tag === fields.tag.value)
        && (!words || text(card).includes(words));
      if (open) {
        for (const item of card.querySelectorAll(".item")) {
          const fit = fits(item, wanted);
          item.classList.toggle("dim", !fit);
          count += fit;
        }
      }
      card.hidden = count === 0;
      shownCards += count > 0;
      shownItems += count;
    }
    $("count").value = `${shownItems} sample${shownItems === 1 ? "" : "s"} on ${shownCards} card${shownCards === 1 ? "" : "s"}`;
    $("none").hidden = shownCards > 0;
    const chosen = new URLSearchParams();
    for (const [name, field] of Object.entries(fields)) if (field.value) chosen.set(name, field.value);
    if (wanted) chosen.set("state", wanted);
    const hash = chosen.size ? `#gallery?${chosen}` : "#gallery";
    if (chosen.size || location.hash.startsWith("#gallery?")) history.replaceState(null, "", hash);
  };
  const recall = () => {
    const chosen = new URLSearchParams(location.hash.split("?")[1] ?? "");
    fields.task.value = chosen.get("task") ?? "";
    tags();
    fields.tag.value = chosen.get("tag") ?? "";
    fields.find.value = chosen.get("find") ?? "";
    for (const radio of document.getElementsByName("state")) radio.checked = radio.value === (chosen.get("state") ?? "");
    for (const field of [fields.task, fields.tag]) if (field.selectedIndex < 0) field.value = "";
    if (!document.querySelector("input[name=state]:checked")) document.getElementsByName("state")[0].checked = true;
    apply();
  };
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("input", (event) => {
    if (event.target === fields.task) tags();
    apply();
  });
  $("boxes").addEventListener("change", () => document.body.classList.toggle("no-boxes", !$("boxes").checked));
  recall();

  // -- enlarged image; arrows walk through what is visible
  const large = $("large");
  let current = null;
  const open = (frame) => {
    current = frame;
    const card = frame.closest(".card");
    show(card);
    const copy = frame.cloneNode(true);
    copy.tabIndex = -1;
    large.querySelector(".stage").replaceChildren(copy);
    const parts = [card.querySelector("header"), frame.parentElement.querySelector(".run"), frame.parentElement.querySelector("figcaption")];
    large.querySelector(".told").replaceChildren(...parts.filter(Boolean).map((part) => part.cloneNode(true)));
    if (!large.open) large.showModal();
  };
  const step = (way) => {
    const frames = [...document.querySelectorAll("#cards > .card:not([hidden]) .item:not(.dim) .frame, #cards > .card:not([hidden]) .asked .frame")];
    const at = frames.indexOf(current);
    const next = frames[at + way];
    if (at >= 0 && next) open(next);
  };
  $("cards").addEventListener("click", (event) => {
    const frame = event.target.closest(".frame");
    if (frame) open(frame);
  });
  large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
  large.addEventListener("close", () => current?.focus());
  $("back").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));

  // -- keys
  const walk = (way) => {
    const shown = cards.filter((card) => !card.hidden);
    const at = shown.indexOf(document.activeElement.closest?.(".card"));
    const next = shown[at < 0 ? 0 : Math.min(Math.max(at + way, 0), shown.length - 1)];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (large.open) {
      if (event.key === "ArrowRight") step(1);
      if (event.key === "ArrowLeft") step(-1);
      return;
    }
    if (event.target.matches("input[type=search], select")) return;
    if (event.key === "/") { event.preventDefault(); fields.find.focus(); }
    if (event.key === "b") $("boxes").click();
    if (event.key === "j") walk(1);
    if (event.key === "k") walk(-1);
    if (event.key === "Enter" && event.target.matches(".card")) {
      const frame = event.target.querySelector(".frame");
      if (frame) open(frame);
    }
  });
}
