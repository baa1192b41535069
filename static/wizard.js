// A little comfort: every page works without it.

for (const shown of document.querySelectorAll("[data-script], button[data-copy]")) shown.hidden = false;
for (const plain of document.querySelectorAll("[data-no-script]")) plain.hidden = true;

const said = document.createElement("p");
said.className = "unseen";
said.setAttribute("role", "status");
document.querySelector("main").append(said);

for (const copier of document.querySelectorAll("[data-copy]")) {
  copier.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(copier.dataset.copy);
    } catch {
      said.textContent = "The browser did not allow copying; select the text instead.";
      return;
    }
    said.textContent = "Copied.";
    if (copier.localName !== "button") return;
    copier.textContent = "Copied";
    setTimeout(() => { copier.textContent = "Copy"; }, 2000);
  });
}

// What is pasted one after the other stands on lines of its own.
for (const box of document.querySelectorAll("textarea[data-forget]")) {
  box.addEventListener("input", (event) => {
    if (event.inputType === "insertFromPaste" && box.value && !box.value.endsWith("\n"))
      box.setRangeText("\n", box.value.length, box.value.length, "end");
  });
  // A secret does not wait in the page for whoever presses Back.
  addEventListener("pagehide", () => { box.value = ""; });
}

// A form that was refused stands where it stood before: neither Back nor a reload sends it again.
const refused = document.querySelector("form[data-address]");
if (refused) history.replaceState(null, "", refused.dataset.address);

// What a page says may have been overtaken when Back brings it from the browser's memory.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// What goes on by itself appears as it goes on; the page is read anew once it has ended.
async function watch() {
  const shown = document.querySelector("[data-live]");
  if (!shown) return;
  let answer;
  try {
    answer = await fetch(shown.dataset.live, { headers: { Accept: "text/html" } });
  } catch {  // the wizard is stopped, or starts anew
    setTimeout(watch, 3000);
    return;
  }
  if (!answer.ok) { location.reload(); return; }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(`#${shown.id}`);
  if (!fresh?.dataset.live) { location.reload(); return; }
  // What has not changed stays, so that a press of a button in it is not lost.
  if (fresh.textContent !== shown.textContent) shown.replaceWith(fresh);
  setTimeout(watch, 700);
}
setTimeout(watch, 700);

// After one consent the next opens by itself; the button is for those without this.
document.querySelector("form[data-by-itself]")?.requestSubmit();

// A wait is counted down between two looks.
setInterval(() => {
  for (const timer of document.querySelectorAll("[data-seconds]")) {
    const left = Math.max(0, timer.dataset.seconds - 1);
    timer.dataset.seconds = left;
    timer.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  }
}, 1000);
