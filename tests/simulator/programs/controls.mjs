// Consents through the simulator's controls, in place of a browser. Returns the callback's URL.
export async function authorize(url, email) {
  const control = `${process.env.ZOHO_WIZARD_SIMULATOR_URL}/_simulator/controls/authorize`;
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify({ url, email });
  const answer = await (await fetch(control, { method: "POST", headers, body })).json();
  return answer;
}
