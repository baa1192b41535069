import { postJson } from "./post_json.js";

const consent = document.querySelector("#consent");
const organization = document.querySelector("#organization");

organization?.addEventListener("submit", (event) => {
  event.preventDefault();
  organization.hidden = true;
  consent.hidden = false;
  consent.querySelector("h1").focus();
});

for (const button of document.querySelectorAll("button[data-decision]")) {
  button.addEventListener("click", async () => {
    const buttons = document.querySelectorAll("button[data-decision]");
    for (const each of buttons) each.disabled = true;
    const organizations = organization ? Object.fromEntries(new FormData(organization)) : {};
    const response = await postJson(document.body.dataset.decide, {
      query: window.location.search.slice(1),
      decision: button.dataset.decision,
      organizations,
    });
    if (response.url) window.location.assign(response.url);
    else {
      document.querySelector("#error").textContent = response.error;
      for (const each of buttons) each.disabled = false;
    }
  });
}

// The buttons are disabled until this script runs. After Back, they are enabled again.
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[data-decision]")) button.disabled = false;
});
