lab score payment.json
lab score second.json
