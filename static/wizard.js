const POLL_INTERVAL_MS = 700;
const RETRY_INTERVAL_MS = 3000;

// Every page works without this script.

for (const element of document.querySelectorAll("[data-js-only], button[data-copy]")) element.hidden = false;
for (const plain of document.querySelectorAll("[data-no-js]")) plain.hidden = true;

const statusMessage = document.createElement("p");
statusMessage.className = "visually-hidden";
statusMessage.setAttribute("role", "status");
document.querySelector("main").append(statusMessage);

for (const copyButton of document.querySelectorAll("[data-copy]")) {
  const label = copyButton.textContent;
  copyButton.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(copyButton.dataset.copy);
    } catch {
      statusMessage.textContent = "Your browser didn’t allow copying. Select the text instead.";
      return;
    }
    statusMessage.textContent = "Copied.";
    if (copyButton.localName !== "button") return;
    copyButton.textContent = "Copied";
    setTimeout(() => { copyButton.textContent = label; }, 2000);
  });
}

// Put consecutive pastes on separate lines.
for (const box of document.querySelectorAll("textarea[data-clear-on-leave]")) {
  box.addEventListener("input", (event) => {
    if (event.inputType === "insertFromPaste" && box.value && !box.value.endsWith("\n"))
      box.setRangeText("\n", box.value.length, box.value.length, "end");
  });
  // The Back button must not bring a secret back.
  addEventListener("pagehide", () => { box.value = ""; });
}

// Show what a chosen file leads to.
for (const chooser of document.querySelectorAll("input[data-submit-on-change]"))
  chooser.addEventListener("change", () => { if (chooser.files.length) chooser.form.requestSubmit(); });

// A paste with several client IDs fills the fields of all their secrets.
for (const form of document.querySelectorAll("form[data-client-secrets]")) {
  form.addEventListener("paste", (event) => {
    const secrets = new Map();
    let clientId;
    for (const word of event.clipboardData.getData("text").split(/[^\w.]+/)) {
      if (/^1000\.[A-Z0-9]{20,64}$/.test(word)) secrets.set(clientId = word, []);
      else if (clientId && /^[0-9a-f]{40,44}$/.test(word)) secrets.get(clientId).push(word);
    }
    if (secrets.size < 2) return;
    event.preventDefault();
    for (const field of form.querySelectorAll("input[data-client-id]")) {
      const secret = secrets.get(field.dataset.clientId)?.shift();
      if (secret) field.value = secret;
    }
  });
}

// Filter a list while typing; what is ticked stays visible.
for (const search of document.querySelectorAll("input[data-filter]")) {
  const list = document.getElementById(search.dataset.filter);
  const empty = document.querySelector("[data-filter-empty]");
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    for (const group of list.querySelectorAll("[data-filter-group]")) {
      for (const item of group.querySelectorAll("[data-filter-text]")) {
        const matches = words.every((word) => item.dataset.filterText.includes(word));
        item.hidden = !matches && !item.querySelector(":checked");
      }
      group.hidden = !group.querySelector("[data-filter-text]:not([hidden])");
    }
    empty.hidden = Boolean(list.querySelector("[data-filter-group]:not([hidden])"));
    statusMessage.textContent = empty.hidden ? "" : empty.textContent;
  };
  search.addEventListener("input", filter);
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
}

// Suggest a name after the first chosen preset.
for (const field of document.querySelectorAll("input[data-suggest-from]")) {
  const initial = field.placeholder;
  const suggest = () => {
    const chosen = field.form.querySelector(`[name="${field.dataset.suggestFrom}"]:checked`);
    field.placeholder = chosen ? chosen.value : initial;
  };
  field.form.addEventListener("change", suggest);
  suggest();
}

// Give a rejected form the URL of its page, so that a reload doesn't submit it again.
const rejectedForm = document.querySelector("form[data-page-url]");
if (rejectedForm) history.replaceState(null, "", rejectedForm.dataset.pageUrl);

// The back/forward cache may restore an outdated page.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// Update the live region until it is finished, then reload the page.
async function pollLiveRegion() {
  const element = document.querySelector("[data-poll-url]");
  if (!element) return;
  let response;
  try {
    response = await fetch(element.dataset.pollUrl, { headers: { Accept: "text/html" } });
  } catch {  // the wizard has stopped or is restarting
    setTimeout(pollLiveRegion, RETRY_INTERVAL_MS);
    return;
  }
  if (!response.ok) { location.reload(); return; }
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector(`#${element.id}`);
  if (!fresh?.dataset.pollUrl) { location.reload(); return; }
  // Replacing unchanged elements could lose a click.
  if (fresh.textContent !== element.textContent) element.replaceWith(fresh);
  setTimeout(pollLiveRegion, POLL_INTERVAL_MS);
}
setTimeout(pollLiveRegion, POLL_INTERVAL_MS);

// Open the next consent; without this script, the user presses the button.
document.querySelector("form[data-auto-submit]")?.requestSubmit();

// Count down between two polls.
setInterval(() => {
  for (const timer of document.querySelectorAll("[data-seconds]")) {
    const left = Math.max(0, timer.dataset.seconds - 1);
    timer.dataset.seconds = left;
    timer.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  }
}, 1000);
