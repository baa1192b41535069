import { postJson } from "./post_json.js";

const form = document.querySelector("#signin");
const next = document.querySelector("#nextbtn");
const heading = document.querySelector("#heading");
const digits = [...document.querySelectorAll("#one-time-code input")];
const steps = {
  lookup: { section: "#login", heading: "Sign in", button: "Next" },
  captcha: { section: "#captcha-step", heading: "Are you a person?", button: "Next" },
  password: { section: "#secret", heading: "Enter password", button: "Sign in" },
  push: { section: "#push", heading: "Verify on your device", button: "" },
  "one-time-code": { section: "#one-time-code", heading: "Enter your one-time code", button: "Verify" },
};
const PUSH_POLL_INTERVAL_MS = 1000; // between requests that check for an approved push
let step = "lookup";
let pictures = 0;

const section = () => form.querySelector(steps[step].section);
const fields = () => [...section().querySelectorAll("input")];
const complete = () => fields().every((field) => field.value.trim() !== "");
const updateButton = () => { next.disabled = !complete(); };

function showError(message) {
  section().querySelector(".fielderror").textContent = message;
  for (const field of fields()) field.setAttribute("aria-invalid", message ? "true" : "false");
}

function show(name) {
  step = name;
  for (const [key, { section }] of Object.entries(steps)) form.querySelector(section).hidden = key !== name;
  const login = document.querySelector("#login_id").value;
  document.querySelector("#known").hidden = name === "lookup";
  document.querySelector("#known-id").textContent = login;
  heading.textContent = steps[name].heading;
  next.textContent = steps[name].button;
  next.hidden = !steps[name].button;
  if (name === "captcha") drawPicture();
  showError("");
  updateButton();
  fields()[0]?.focus();
}

function drawPicture() {
  // Each picture is valid for one try. The number prevents the browser from showing a cached one.
  document.querySelector("#picture").src = `${form.dataset.picture}?${++pictures}`;
}

async function waitForPush() {
  const response = await postJson(form.dataset.push, {});
  if (step !== "push") return;
  if (response.waiting) setTimeout(waitForPush, PUSH_POLL_INTERVAL_MS);
  else follow(response);
}

function redirectToDataCenter(response) {
  const dataCenterForm = document.querySelector("#data-center-form");
  dataCenterForm.action = response.redirect;
  dataCenterForm.elements.LOGIN_ID.value = document.querySelector("#login_id").value;
  dataCenterForm.submit();
}

function follow(response) {
  if (response.url) window.location.assign(response.url);
  else if (response.redirect) redirectToDataCenter(response);
  else if (response.step === "trust") {
    form.hidden = true;
    document.querySelector("#trust").hidden = false;
    document.querySelector("#trust h1").focus();
  } else if (response.step) show(response.step);
  if (response.step === "push") {
    document.querySelector("#push-number").textContent = response.number;
    waitForPush();
  }
}

function reject(message, name) {
  if (name && name !== step) show(name);
  else if (step === "captcha") drawPicture();
  showError(message);
  if (step !== "lookup") for (const field of fields()) field.value = "";
  updateButton();
  fields()[0].focus();
}

async function submit(event) {
  event.preventDefault();
  if (next.disabled) return;
  next.disabled = true;
  const values = { LOGIN_ID: document.querySelector("#login_id").value.trim() };
  if (step === "password") values.PASSWORD = document.querySelector("#password").value;
  if (step === "captcha") values.captcha = document.querySelector("#captcha").value;
  if (step === "one-time-code") values.code = digits.map((digit) => digit.value).join("");
  const response = await postJson(form.dataset[step.replaceAll("-", "")], values);
  if (response.error) reject(response.error, response.step);
  else follow(response);
}

function fillDigits(event) {
  const typed = event.target.value.replace(/\D/g, "");
  const start = digits.indexOf(event.target);
  event.target.value = "";
  [...typed].forEach((character, index) => { if (digits[start + index]) digits[start + index].value = character; });
  const empty = digits.find((digit) => digit.value === "");
  (empty ?? digits[digits.length - 1]).focus();
  updateButton();
}

form.addEventListener("submit", submit);
form.addEventListener("input", updateButton);
digits.forEach((digit) => digit.addEventListener("input", fillDigits));
document.querySelector("#change").addEventListener("click", () => show("lookup"));
for (const button of document.querySelectorAll("#trust button")) {
  button.addEventListener("click", async () => {
    follow(await postJson(form.dataset.trust, { trust: button.value === "yes" }));
  });
}
show("lookup");
// A login ID that comes from another data center is looked up at once.
if (form.dataset.known) form.requestSubmit();
