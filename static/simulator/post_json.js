// Post JSON and return the JSON of the response. The token prevents cross-site request forgery.
const token = document.querySelector("meta[name=csrf-token]").content;

export async function postJson(url, body) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-ZCSRF-TOKEN": token },
    body: JSON.stringify(body),
  });
  return response.json();
}
