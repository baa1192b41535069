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
const PUSH_POLL_INTERVAL_MS = 1000; // milliseconds between two looks at whether a push was confirmed
let step = "lookup";
let pictures = 0;

const section = () => form.querySelector(steps[step].section);
const fields = () => [...section().querySelectorAll("input")];
const complete = () => fields().every((field) => field.value.trim() !== "");
const settle = () => { next.disabled = !complete(); };

function complain(words) {
  section().querySelector(".fielderror").textContent = words;
  for (const field of fields()) field.setAttribute("aria-invalid", words ? "true" : "false");
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
  if (name === "captcha") draw();
  complain("");
  settle();
  fields()[0]?.focus();
}

function draw() {
  // Each picture is good for one try; the number keeps the browser from showing the last again.
  document.querySelector("#picture").src = `${form.dataset.picture}?${++pictures}`;
}

async function waitForPush() {
  const answer = await postJson(form.dataset.push, {});
  if (step !== "push") return;
  if (answer.waiting) setTimeout(waitForPush, PUSH_POLL_INTERVAL_MS);
  else follow(answer);
}

function redirectToDataCenter(answer) {
  const elsewhere = document.querySelector("#elsewhere");
  elsewhere.action = answer.redirect;
  elsewhere.elements.LOGIN_ID.value = document.querySelector("#login_id").value;
  elsewhere.submit();
}

function follow(answer) {
  if (answer.url) window.location.assign(answer.url);
  else if (answer.redirect) redirectToDataCenter(answer);
  else if (answer.step === "trust") {
    form.hidden = true;
    document.querySelector("#trust").hidden = false;
    document.querySelector("#trust h1").focus();
  } else if (answer.step) show(answer.step);
  if (answer.step === "push") {
    document.querySelector("#push-number").textContent = answer.number;
    waitForPush();
  }
}

function refuse(words, name) {
  if (name && name !== step) show(name);
  else if (step === "captcha") draw();
  complain(words);
  if (step !== "lookup") for (const field of fields()) field.value = "";
  settle();
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
  const answer = await postJson(form.dataset[step.replaceAll("-", "")], values);
  if (answer.error) refuse(answer.error, answer.step);
  else follow(answer);
}

function spread(event) {
  const typed = event.target.value.replace(/\D/g, "");
  const at = digits.indexOf(event.target);
  event.target.value = "";
  [...typed].forEach((character, index) => { if (digits[at + index]) digits[at + index].value = character; });
  const empty = digits.find((digit) => digit.value === "");
  (empty ?? digits[digits.length - 1]).focus();
  settle();
}

form.addEventListener("submit", submit);
form.addEventListener("input", settle);
digits.forEach((digit) => digit.addEventListener("input", spread));
document.querySelector("#change").addEventListener("click", () => show("lookup"));
for (const button of document.querySelectorAll("#trust button")) {
  button.addEventListener("click", async () => {
    follow(await postJson(form.dataset.trust, { trust: button.value === "yes" }));
  });
}
show("lookup");
// A login id that came along from another data centre is looked up at once.
if (form.dataset.known) form.requestSubmit();
