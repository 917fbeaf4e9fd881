"use strict";
// Asks for the key, keeps it for this tab, and shows what was asked for once the server lets it in.
(() => {
  const form = document.getElementById("ask");
  const field = document.getElementById("key");
  const said = document.getElementById("said");

  function kept(key) {
    try {
      if (key !== undefined) sessionStorage.setItem("handrail-key", key);
      return sessionStorage.getItem("handrail-key") || "";
    } catch (problem) {
      return key || "";
    }
  }

  function framed(page) {
    // A report is a file that may be foreign: it gets neither our origin nor the key.
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "allow-scripts");
    frame.style.cssText = "position:fixed;inset:0;width:100%;height:100%;border:0;background:#fff";
    frame.srcdoc = page;
    document.body.replaceChildren(frame);
  }

  function plain(text) {
    const shown = document.createElement("pre");
    shown.textContent = text;
    document.body.replaceChildren(shown);
  }

  async function show(key) {
    const response = await fetch(location.href, { headers: { authorization: "Bearer " + key, accept: "text/html" } });
    const text = await response.text();
    if (response.status === 401) {
      kept("");
      said.textContent = "This key is not known here.";
      return;
    }
    kept(key);
    if (!(response.headers.get("content-type") || "").startsWith("text/html")) return plain(text);
    if ((response.headers.get("content-security-policy") || "").includes("sandbox")) return framed(text);
    document.open();
    document.write(text);
    document.close();
  }

  function tried(key) {
    show(key).catch(() => { said.textContent = "The server did not answer."; });
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const key = field.value.trim();
    // What is no key cannot be a header either.
    if (/^[\x21-\x7e]+$/.test(key)) tried(key);
    else said.textContent = "A key looks like handrail_…";
  });
  if (kept()) tried(kept());
})();
