"use strict";
// What stands before the script of each page.
// Everything that comes from data is set with textContent or value, never as HTML.
const model = JSON.parse(document.getElementById("model").textContent);

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function shownKey() {
  // Where the server asks for a key, the page before this one has kept it for the tab.
  try {
    const key = sessionStorage.getItem("handrail-key");
    return key ? { authorization: "Bearer " + key } : {};
  } catch (problem) {
    return {};
  }
}

// A command that sends `body`. The key itself is never shown: pages are photographed.
function sending(command, address, body, asks) {
  return command + " " + address + " \\\n" + (asks ? "  -H \"authorization: Bearer $HANDRAIL_KEY\" \\\n" : "") +
    "  -H 'content-type: application/json' \\\n  -d '" + body.replaceAll("'", "'\\''") + "'";
}
