"""What the jobs are told to do, in several languages, lengths and layouts; written for the bench."""

from __future__ import annotations

INSTRUCTIONS = {
    "bank": "Read the message of a bank customer and name its intent. Answer with the intent only.",
    "assistant": "Decide which skill of the voice assistant this command is meant for. Reply with the skill's name.",
    "maths": "Solve the word problem below. Show each step of the calculation and finish with the number.",
    "exam": "Choose the right option of this exam question. Give the letter and nothing else.",
    "booking": "Extract people, date, time and name from the restaurant booking as JSON. Leave out what is missing.",
    "personal": "Replace everything that identifies a person in the text by a placeholder such as {{PERSON}}.",
    "survey": "You take part in an opinion survey. Pick the single option that fits best.",
    "mood": "Say whether the customer asks something or states something: question or statement.",
    "length": "Classify the size of the message as short, medium or long.",
    "rewrite": "Turn the message into one that says the same in the reverse order of words.",
}
SHORT = {
    "bank": "Intent: {}",
    "assistant": "{}\nSkill:",
    "maths": "Solve: {}",
    "exam": "Q: {}\nA:",
    "booking": "JSON> {}",
    "personal": "mask: {}",
    "survey": "[survey] {}",
    "mood": "Mood? {}",
    "length": "Size? {}",
    "rewrite": "Rewrite: {}",
}
BARE = {
    "bank": "intent {}",
    "assistant": "skill for {}",
    "maths": "calculate {}",
    "booking": "slots {}",
    "personal": "mask {}",
    "rewrite": "{} rewrite this",
}
"""Without any punctuation that marks where the template ends."""
LANGUAGES = {
    "de": {
        "bank": "Lies die Nachricht einer Bankkundin und nenne ihr Anliegen. Antworte nur mit dem Anliegen.",
        "maths": "Löse die folgende Textaufgabe. Zeige jeden Rechenschritt und schließe mit der Zahl.",
        "booking": "Ziehe Personen, Datum, Uhrzeit und Namen aus der Reservierung als JSON heraus.",
    },
    "fr": {
        "assistant": "Décide à quelle fonction de l'assistant vocal cette phrase s'adresse et donne son nom.",
        "exam": "Choisis la bonne réponse à cette question d'examen. Donne seulement la lettre.",
        "personal": "Remplace tout ce qui identifie une personne dans le texte par un marqueur.",
    },
    "zh": {
        "survey": "你正在参加一项民意调查。请选择最合适的一个选项,只回答字母。",
        "mood": "请判断客户是在提问还是在陈述,只回答一个词。",
        "rewrite": "请把下面的消息按相反的词序改写。",
    },
}
RULES = (
    "You work for Northwind Services, a company with customers in eleven countries. Always be polite and calm. "
    "Never promise a refund, a date or a discount. Do not mention other companies. Do not give legal, medical or "
    "financial advice. If a message holds threats, answer with the sentence: I can't help with that. "
    "Keep personal data out of your answers wherever you can. Write plain text without markup."
)
EXAMPLES = {
    "bank": ("bank", "Message: {}\nIntent: {}"),
    "assistant": ("assistant", "Command: {}\nSkill: {}"),
    "booking": ("booking", "Booking: {}\nJSON: {}"),
    "personal": ("personal", "Text: {}\nMasked: {}"),
    "mood": ("mood", "Message: {}\nKind: {}"),
    "length": ("length", "Message: {}\nSize: {}"),
}
"""Source of the job's examples, and how one is written."""
TOOLS = {
    "bank": [
        "get_balance",
        "list_transactions",
        "block_card",
        "order_card",
        "open_dispute",
        "find_branch",
        "exchange_rate",
    ],
    "assistant": ["set_alarm", "play_music", "add_reminder", "weather_now", "call_contact", "send_text", "search_web"],
    "booking": [
        "find_table",
        "reserve_table",
        "cancel_table",
        "list_menus",
        "ask_kitchen",
        "notify_guest",
        "search_web",
    ],
    "maths": ["calculator", "plot_function", "solve_equation", "convert_units", "search_web"],
    "personal": ["redact_text", "list_entities", "restore_text", "audit_log"],
}
ROLES = {
    "bank": "You are an assistant for the customers of a bank.",
    "assistant": "You are a voice assistant at home.",
    "maths": "You are a tutor of mathematics.",
    "booking": "You are the host of a restaurant.",
    "personal": "You are a clerk for data protection.",
}
FORTY = {
    "complaint summary": "Summarise the complaint in one sentence for a busy manager.",
    "letter translation": "Translate the message into formal German, as it would stand in a letter.",
    "keywords": "List up to five keywords of the text, separated by commas.",
    "urgency": "Rate how urgent the request is from 1 (can wait) to 5 (now).",
    "child explanation": "Explain the sentence to a child of eight years in two short sentences.",
    "spelling": "Correct spelling and grammar. Change nothing else.",
    "sentiment": "Classify the sentiment as positive, neutral or negative.",
    "language": "Name the language of the text as a two-letter code.",
    "subject line": "Write a subject line of at most eight words for an e-mail with this content.",
    "next step": "Suggest the next step that a support agent should take.",
    "refund": "Decide whether the customer is entitled to a refund under the policy. Answer yes or no.",
    "order number": "Extract the order number. If there is none, write NONE.",
    "people": "Return a JSON array with the names of all people that are mentioned.",
    "amount": "Find the amount of money that is talked about and give it in cents.",
    "apology": "Draft a polite apology that takes up the customer's words.",
    "search query": "Turn the question into a query of three to six words for a search engine.",
    "department": "Route the message to one of these departments: sales, billing, technical, legal.",
    "spam": "Is this spam? Reply with 1 for spam and 0 for anything else.",
    "date": "Convert every date in the text to the form YYYY-MM-DD.",
    "tone": "Rewrite the text so that it sounds friendly but not familiar.",
    "quiz": "Make one multiple-choice question with four options from the text.",
    "sql": "Write an SQL query for the tables customers and orders that answers the question.",
    "regex": "Give a regular expression that matches what the user describes.",
    "title": "Invent a title for a blog post on this subject.",
    "contradiction": "Say whether the second statement contradicts the first: entails, contradicts or neither.",
    "toxicity": "Score the toxicity of the comment between 0.0 and 1.0.",
    "product": "Match the description with the best product category of the shop.",
    "meeting": "List decisions and open points of the meeting as two bullet lists.",
    "tweet": "Shorten the announcement to 240 characters and add one hashtag.",
    "alt text": "Describe for a blind reader what the caption says about the picture.",
    "unit": "Convert all measures to metric units and round to one decimal.",
    "fact check": "Check the claim against general knowledge and answer true, false or unclear.",
    "rhyme": "Continue with two lines that rhyme.",
    "diagnosis code": "Assign the most likely ICD-10 chapter to the symptoms.",
    "clause": "Point out the clause of a contract that the sentence belongs to.",
    "recipe": "Scale the recipe to four servings.",
    "commit": "Write a commit message in the imperative for the change described.",
    "persona": "Answer as a tired lighthouse keeper who likes short sentences.",
    "priority": "Order the wishes by priority and give a reason for the first.",
    "anonymise": "Mask names, addresses and numbers with asterisks.",
}
