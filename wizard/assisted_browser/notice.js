// Show a message of the wizard in the corner of the window; null removes it. It is in a closed shadow
// tree, and clicks pass through it.
(words) => {
  const before = document.getElementById("zoho-wizard-notice");
  if (before?.dataset.message === words) return;
  before?.remove();
  if (words === null) return;
  const host = document.createElement("div");
  host.id = "zoho-wizard-notice";
  host.dataset.message = words;
  const notice = document.createElement("p");
  notice.setAttribute("role", "status");
  const mark = document.createElement("strong");
  mark.textContent = "Zoho wizard";
  notice.append(mark, document.createElement("br"), words);
  host.style.cssText = "all: initial; position: fixed; inset: auto 1rem 1rem auto; z-index: 2147483647; pointer-events: none";
  notice.style.cssText = "margin: 0; padding: .9rem 1.1rem; box-sizing: border-box; width: 19rem; max-width: calc(100vw - 2rem); border-radius: .6rem; border-left: .3rem solid #e8b04a; background: #1d2330; color: #fff; font: 1rem/1.45 system-ui, sans-serif; box-shadow: 0 .4rem 1.6rem rgb(0 0 0 / .35); overflow-wrap: anywhere";
  host.attachShadow({ mode: "closed" }).append(notice);
  document.documentElement.append(host);
}
