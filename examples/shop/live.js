// Asks for the cart every second, and shows the answer.
const shown = document.getElementById("cart");
const socket = new WebSocket("/live/socket");
const ask = () => socket.readyState === WebSocket.OPEN && socket.send("cart");
socket.onopen = ask;
socket.onmessage = ({ data }) => { shown.textContent = data; };
socket.onclose = () => { shown.textContent = "The connection has ended."; };
setInterval(ask, 1000);
