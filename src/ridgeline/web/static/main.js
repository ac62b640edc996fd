// Pages by path; each module is fetched when its page is opened.
import { el } from "./dom.js";

const PAGES = [["board", "Blackboard"], ["plan", "Plan"], ["traffic", "Traffic"], ["prices", "Prices"], ["training", "Training"], ["lecture", "Lecture"], ["accuracy", "Accuracy"], ["catalogue", "Catalogue"]];
let leave = null;

async function opened() {
  const name = location.pathname.replace(/^\/|\/$/g, "") || "board", main = document.getElementById("main");
  const known = PAGES.find(([path]) => path === name);
  document.getElementById("pages").replaceChildren(...PAGES.map(([path, text]) => el("a", { href: `/${path}`, "aria-current": path === name ? "page" : null }, text)));
  document.title = `${known ? known[1] : "No such page"} · Ridgeline`;
  leave?.();
  leave = null;
  if (!known) return main.replaceChildren(el("h1", {}, "No such page"), el("p", {}, "The pages are named above."));
  const { show } = await import(`/static/pages/${name}.js`);
  leave = await show(main);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a");
  if (!link || link.origin !== location.origin || link.download || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.button || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  opened().then(() => document.getElementById("main").focus());
});
addEventListener("popstate", opened);
opened();
