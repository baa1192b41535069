const POLL_INTERVAL_MS = 700;
const RETRY_INTERVAL_MS = 3000;

// A little comfort: every page works without it.

for (const element of document.querySelectorAll("[data-js-only], button[data-copy]")) element.hidden = false;
for (const plain of document.querySelectorAll("[data-no-js]")) plain.hidden = true;

const statusMessage = document.createElement("p");
statusMessage.className = "visually-hidden";
statusMessage.setAttribute("role", "status");
document.querySelector("main").append(statusMessage);

for (const copyButton of document.querySelectorAll("[data-copy]")) {
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
    setTimeout(() => { copyButton.textContent = "Copy"; }, 2000);
  });
}

// What is pasted one after the other stands on lines of its own.
for (const box of document.querySelectorAll("textarea[data-clear-on-leave]")) {
  box.addEventListener("input", (event) => {
    if (event.inputType === "insertFromPaste" && box.value && !box.value.endsWith("\n"))
      box.setRangeText("\n", box.value.length, box.value.length, "end");
  });
  // A secret does not wait in the page for whoever presses Back.
  addEventListener("pagehide", () => { box.value = ""; });
}

// A form that was rejectedForm stands where it stood before: neither Back nor a reload sends it again.
const rejectedForm = document.querySelector("form[data-page-url]");
if (rejectedForm) history.replaceState(null, "", rejectedForm.dataset.pageUrl);

// What a page says may have been overtaken when Back brings it from the browser's memory.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// What goes on by itself appears as it goes on; the page is read anew once it has ended.
async function pollLiveRegion() {
  const element = document.querySelector("[data-poll-url]");
  if (!element) return;
  let answer;
  try {
    answer = await fetch(element.dataset.pollUrl, { headers: { Accept: "text/html" } });
  } catch {  // the wizard is stopped, or starts anew
    setTimeout(pollLiveRegion, RETRY_INTERVAL_MS);
    return;
  }
  if (!answer.ok) { location.reload(); return; }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(`#${element.id}`);
  if (!fresh?.dataset.pollUrl) { location.reload(); return; }
  // What has not changed stays, so that a press of a button in it is not lost.
  if (fresh.textContent !== element.textContent) element.replaceWith(fresh);
  setTimeout(pollLiveRegion, POLL_INTERVAL_MS);
}
setTimeout(pollLiveRegion, POLL_INTERVAL_MS);

// After one consent the next opens by itself; the button is for those without this.
document.querySelector("form[data-auto-submit]")?.requestSubmit();

// A wait is counted down between two looks.
setInterval(() => {
  for (const timer of document.querySelectorAll("[data-seconds]")) {
    const left = Math.max(0, timer.dataset.seconds - 1);
    timer.dataset.seconds = left;
    timer.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  }
}, 1000);
