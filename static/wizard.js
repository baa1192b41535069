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
      statusMessage.textContent = "The browser did not allow copying; select the text instead.";
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
