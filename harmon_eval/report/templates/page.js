// Keys, the theme, and the beginning.
const walk = (way) => {
  const at = shown.findIndex((record) => record.card.contains(document.activeElement));
  const next = shown[at < 0 ? 0 : Math.min(Math.max(at + way, 0), shown.length - 1)];
  if (next) bring(next);
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (large.open) {
    if (event.target.matches("input, select")) return;
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
    return;
  }
  if (event.target.matches("input[type=search], select")) return;
  if (event.key === "/") { event.preventDefault(); fields.find.focus(); }
  if (event.key === "b") $("boxes").click();
  if (event.key === "j") walk(1);
  if (event.key === "k") walk(-1);
  const card = event.target.closest?.(".card");
  if (event.key === "c" && card) copy(promptOf(card), card.querySelector(".copy"));
  if (event.key === "Enter" && event.target.matches(".card")) {
    const frame = event.target.querySelector(".frame");
    if (frame) enlarge(frame);
  }
});

const THEMES = ["system", "light", "dark"];
const wear = (theme) => {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").textContent = `Theme: ${theme}`;
};
const kept = () => {
  try { return localStorage.getItem("harmon_eval theme") ?? "system"; } catch { return "system"; }
};
let theme = THEMES.includes(kept()) ? kept() : "system";
$("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  wear(theme);
  try { localStorage.setItem("harmon_eval theme", theme); } catch { /* a browser may refuse */ }
});
wear(theme);
addEventListener("hashchange", () => { if (location.hash.startsWith("#gallery?")) recall(); });
recall();
