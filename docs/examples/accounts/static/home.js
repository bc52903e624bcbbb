const find = (css) => document.querySelector(css);

function show(text) {
  find("#log").append(Object.assign(document.createElement("li"), { textContent: text }));  // as text, never as HTML
  find("#log").scrollTop = find("#log").scrollHeight;
}

let socket, mayFollow = true;
function connect() {
  socket = new WebSocket(location.origin.replace("http", "ws") + "/chat");
  socket.onmessage = (event) => {
    const { name, text } = JSON.parse(event.data);
    show(`${name}: ${text}`);
  };
  socket.onopen = () => setTimeout(() => { mayFollow = true; }, 10_000);
  socket.onclose = ({ code }) => {
    if (code === 4401) {
      location.reload();             // signed out, here or elsewhere: the login page comes
    } else if (code !== 4402 || mayFollow) {
      mayFollow = code !== 4402;     // 4402: the session has a new id, and the browser has the new cookie in a moment
      setTimeout(connect, 2000);
    }
  };
}
connect();

find("#say").onsubmit = (event) => {
  event.preventDefault();
  const input = find("#say input");
  if (socket.readyState === WebSocket.OPEN) {
    socket.send(input.value);
    input.value = "";
  }
};

const events = new EventSource("/members");
events.onmessage = (event) => {
  find("#members").textContent = JSON.parse(event.data).join(", ");
};
events.onerror = () => {
  if (events.readyState === EventSource.CLOSED) location.reload();  // 204: nobody is signed in any more
};

find("#upload").onsubmit = async (event) => {
  event.preventDefault();
  const [file] = find("#upload input[type=file]").files;
  const headers = { "X-Xsrftoken": find("#upload [name=_xsrf]").value };
  let text = "The file has more than 10 MB.";
  if (file.size <= 10_000_000) {
    const answer = await fetch("/upload", { method: "POST", headers, body: file });
    if (answer.ok) location.reload();
    text = `The upload failed (${answer.status}).`;
  }
  Object.assign(find("#said"), { hidden: false, textContent: text });
};
