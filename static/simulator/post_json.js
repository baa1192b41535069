// One script request: JSON out, JSON back. The token proves that the page is ours.
const token = document.querySelector("meta[name=csrf-token]").content;

export async function postJson(url, body) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-ZCSRF-TOKEN": token },
    body: JSON.stringify(body),
  });
  return answer.json();
}
