# SPDX-License-Identifier: Apache-2.0
"""Asides outdoors: a fact stated in passing, and something that follows from it.

{Group} and {they} are whoever is on the way: the hero alone, or the hero and the friend.
"""

# Things passed on the way.
WAY = {
    "blanket": ("A blanket hung on a fence. The blanket was warm, and a hen sat under it.",),
    "lemon": (
        "{Group} picked a lemon from a branch. The lemon was sour, and it made {them} shiver.",
    ),
    "ladder": ("A ladder leaned against a barn. The ladder was wobbly, so {they} left it alone.",),
    "bread": ("{Group} ate a piece of bread on the way. The bread was fresh.",),
    "soup": ("A shepherd shared some soup with {them}. The soup was delicious.",),
    "carrot": (
        "{Group} found a carrot at the edge of a field. The carrot was crunchy, and it was gone in"
        " a moment.",
        "A farmer gave {them} a carrot. The carrot was crunchy, and {they} chewed as {they} went.",
    ),
    "lake": (
        "{Group} came to a lake. The lake was deep, so {they} walked all the way around it.",
        "On the left lay a lake. The lake was deep. Far below, big fish swam [to and fro|in"
        " circles].",
        "{Group} looked into a lake. The lake was deep, and nobody could see the bottom.",
        "{Group} dropped a pebble into a lake. The lake was deep, and the pebble sank out of"
        " sight.",
    ),
    "river": (
        "{Group} came to a river. The river was wide, but a [flat|wooden] raft took {them} across.",
        "{Group} walked along a river. The river was wide, and the boats on it looked like toys.",
        "Soon {they} had to cross a river. The river was wide, so {they} looked for [stepping"
        " rocks|a safe place] first.",
    ),
    "forest": (
        "{Group} went through a forest. The forest was dark, so {they} [sang|hummed] a merry song.",
        "{Group} came to a forest. The forest was dark, but {they} kept going.",
        "Next came a forest. The forest was dark. {They} walked a little faster than before.",
    ),
    "mountain": (
        "In front of {them} rose a mountain. The mountain was high, and its top hid in the mist.",
        "{Group} looked up at a mountain. The mountain was high. Even the birds flew around it.",
        "Far away stood a mountain. The mountain was high, with snow on its top.",
    ),
    "road": (
        "The road was long, so {they} stopped [twice|now and then] to rest.",
        "The road was long, but {they} did not mind.",
        "The road was long. {Group} counted the [fence posts|milestones] to pass the time.",
    ),
    "hill": (
        "{Group} climbed a hill. The hill was steep, and {they} puffed all the way up.",
        "First {they} had to climb a hill. The hill was steep, so {they} went up step by step.",
        "{Group} rolled down a hill. The hill was steep, and {they} landed in the [hay|clover].",
    ),
    "castle": (
        "Far away stood a castle. The castle was grand, with [seven towers|a hundred windows].",
        "{Group} passed a castle. The castle was grand, and a flag flew from every tower.",
        "Behind the trees {they} saw a castle. The castle was grand enough for [a king|a queen|ten"
        " kings].",
    ),
    "bridge": (
        "{Group} came to a bridge. The bridge was narrow, so {they} crossed it with small steps.",
        "A bridge led over the [stream|brook]. The bridge was narrow. {Group} did not look down.",
        "{Group} crossed a bridge. The bridge was narrow, and it swayed a little in the wind.",
    ),
    "path": (
        "The path was crooked. It went left, then right, then left again.",
        "The path was crooked, but it led {them} the right way.",
        "{Group} followed a path. The path was crooked, and it wound between the [bushes|rocks].",
    ),
    "cave": (
        "{Group} peeked into a cave. The cave was damp, and water dripped from the roof.",
        "{Group} walked past a cave. The cave was damp. Moss grew on every rock inside.",
        "Beside the trail yawned a cave. The cave was damp, so {they} did not go in.",
    ),
    "puddle": (
        "There lay a puddle in the way. The puddle was shallow, so {they} splashed right through"
        " it.",
        "{Group} jumped into a puddle. The puddle was shallow, and only {their} toes got wet.",
        "{Group} came to a puddle. The puddle was shallow. A sparrow took a bath in it.",
    ),
    "oak": (
        "{Group} rested under an oak. The oak was old, and it had seen a hundred winters.",
        "At the corner stood an oak. The oak was old, with [holes|moss] in its trunk.",
        "{Group} walked around an oak. The oak was old and gave plenty of shade.",
    ),
    "sun": (
        "The sun was bright, so {they} kept to the shade.",
        "The sun was bright, and {they} blinked.",
        "The sun was bright. Long shadows danced beside {them}.",
    ),
    "cloud": (
        "A cloud sailed over the [fields|roofs]. The cloud was fluffy and looked like a"
        " [sheep|pudding|pile of wool].",
        "{Group} looked up at a cloud. The cloud was fluffy, like [cotton|whipped cream].",
        "There hung one cloud in the sky. The cloud was fluffy. It did not look like rain.",
    ),
    "feather": (
        "{Group} found a feather in the grass. The feather was light, and the wind blew it away.",
        "A feather floated past. The feather was light. It danced in the air and would not come"
        " down.",
        "{Group} blew at a feather. The feather was light, and up it went.",
    ),
    "coin": (
        "{Group} found a coin in the dust. The coin was shiny, and it winked in the light.",
        "A coin lay on the ground. The coin was shiny, and {they} put it on a fence post for its"
        " owner.",
        "{Group} saw a coin at the bottom of a well. The coin was shiny. It must have been"
        " somebody's wish.",
    ),
    "drum": (
        "From far away came the sound of a drum. The drum was loud, and it made {them} march.",
        "Somebody played on a drum. The drum was loud, and {they} stepped in time to it.",
    ),
    "market": (
        "{Group} crossed the market. The market was crowded, and {they} squeezed past the stalls.",
        "{Group} came through the market. The market was crowded. Everybody called and laughed at"
        " once.",
    ),
}

# The same in a town.
TOWN = {
    "oak": ("In the square stood an oak. The oak was old, and a bench ran around it.",),
    "feather": ("A feather floated down from a roof. The feather was light and took its time.",),
    "puddle": (
        "There lay a puddle in the street. The puddle was shallow, and a cart splashed through it.",
        "Two sparrows bathed in a puddle. The puddle was shallow.",
    ),
    "carrot": (
        "A boy fed a carrot to a horse. The carrot was crunchy, and the horse asked for another.",
    ),
    "market": (
        "First {they} went to the market. The market was crowded, and {they} squeezed past the"
        " stalls.",
        "{Group} crossed the market. The market was crowded. Everybody [talked|shouted] at once.",
        "The market was crowded, for everyone had come to [buy eggs|look at the flowers|hear the"
        " band].",
    ),
    "bread": (
        "{Group} walked past a bakery. The bread was fresh, and its smell filled the whole street.",
        "The baker carried out a tray. The bread was fresh, and steam still rose from it.",
        "{Group} stopped at the bakery window. The bread was fresh and had a golden crust.",
    ),
    "cheese": (
        "There lay a cheese on a stall. The cheese was smelly, so {they} hurried past.",
        "A man sold cheese from a cart. The cheese was smelly, but the man said it tasted fine.",
        "A mouse looked at a cheese in a shop. The cheese was smelly, just as mice like it.",
    ),
    "ladder": (
        "A ladder leaned against a wall. The ladder was wobbly, so {they} did not climb it.",
        "A painter stood on a ladder. The ladder was wobbly, and a boy held it tight.",
        "{Group} walked around a ladder. The ladder was wobbly, and {they} did not want to bump"
        " it.",
    ),
    "drum": (
        "A man with a drum marched by. The drum was loud, and the windows shook.",
        "On a corner a girl beat a drum. The drum was loud, and people [clapped|danced].",
        "Somewhere someone played a drum. The drum was loud, and {they} marched in time to it.",
    ),
    "vase": (
        "There stood a vase in a shop window. The vase was fragile, so {they} did not touch it.",
        "A woman came along with a vase. The vase was fragile, so {they} stepped aside.",
    ),
    "peach": (
        "A woman gave {them} a peach to try. The peach was juicy, and it dripped on {their}"
        " [shoes|toes].",
        "{Group} bought a peach. The peach was juicy and gone in [three|four] bites.",
        "A peach had rolled off a stall. The peach was juicy, and the wasps had found it already.",
    ),
    "lemon": (
        "A boy dared {them} to lick a lemon. The lemon was sour! {They} made a funny face.",
        "A woman squeezed a lemon into a jug. The lemon was sour, so in went some sugar.",
    ),
    "coin": (
        "A coin rolled across the street. The coin was shiny, and an old woman caught it.",
        "{Group} had one coin to spend. The coin was shiny, and {they} held it tight.",
    ),
    "honey": (
        "A woman sold honey in jars. The honey was sweet, and {they} got a spoon of it to try.",
        "{Group} tasted honey at a stall. The honey was sweet and sticky.",
    ),
    "ball": (
        "Some children kicked a ball. The ball was round, and it rolled and rolled down the lane.",
        "A ball bounced out of a yard. The ball was round, and it rolled right up to {them}.",
    ),
    "soup": (
        "A cook gave out soup in the square. The soup was delicious, and the line was growing.",
        "{Group} tried the soup at a stall. The soup was delicious and full of [beans|noodles].",
    ),
    "monkey": (
        "On a barrel organ sat a monkey. The monkey was silly and wore a hat.",
        "In the zoo a monkey hung upside down. The monkey was silly and stuck out its tongue.",
    ),
    "bear": (
        "Behind the fence of the zoo sat a bear. The bear was strong, and it played with a whole"
        " tree.",
        "{Group} walked by the zoo. The bear was strong, and it rolled a log with one paw.",
    ),
    "elephant": (
        "Over the zoo wall {they} saw an elephant. The elephant was huge, even from far away.",
        "{Group} passed the zoo. The elephant was huge and waved its trunk at {them}.",
    ),
    "giraffe": (
        "A giraffe looked over the zoo wall. The giraffe was tall and could see the whole town.",
        "{Group} waved at a giraffe in the zoo. The giraffe was tall. Its head was up in the"
        " leaves.",
    ),
    "lion": (
        "Thunder rolled over the zoo. The lion was brave and did not even blink.",
        "{Group} heard a roar from the zoo. The lion was brave, and everyone could hear it.",
    ),
    "parrot": (
        'A parrot sat in a window. The parrot was noisy. "Good day! Good day!" it cried.',
        "{Group} heard a parrot. The parrot was noisy, and the whole street could hear it.",
    ),
}

# Animals met outdoors by children.
MEET_COUNTRY = {
    "turtle": (
        "A turtle crossed the lane. The turtle was slow, so {they} waited for it.",
        "{Group} met a turtle. The turtle was slow, and {they} passed it in [three|two] steps.",
        "A turtle crept through the grass. The turtle was slow, but it had all day.",
    ),
    "rabbit": (
        "A rabbit ran past. The rabbit was quick, and in a blink it had gone.",
        "{Group} saw a rabbit in the grass. The rabbit was quick. It jumped into its hole at once.",
        "A rabbit raced across the field. The rabbit was quick, and even the wind came second.",
    ),
    "fox": (
        "A fox slipped behind a barn. The fox was clever, and nobody else saw it.",
        "{Group} saw a fox by a fence. The fox was clever. It had found the only hole.",
    ),
    "owl": (
        "There sat an owl up in a pine. The owl was wise, and it only blinked.",
        "{Group} heard an owl in the trees. The owl was wise, people said, and knew every secret.",
    ),
    "bee": (
        "A bee buzzed from flower to flower. The bee was busy and had no time to stop.",
        "{Group} watched a bee. The bee was busy. It visited every daisy in the grass.",
    ),
    "peacock": (
        "A peacock spread its tail. The peacock was proud and wanted everyone to look.",
        "{Group} met a peacock in the park. The peacock was proud and did not move aside.",
    ),
    "cat": (
        "A cat slept on a wall. The cat was lazy and opened only one eye.",
        "A cat lay on a doorstep. The cat was lazy. It let a butterfly sit on its tail.",
    ),
    "dog": (
        "A dog sat by a shop door. The dog was loyal and waited for its owner.",
        "An old man came by with a dog. The dog was loyal and carried the newspaper.",
    ),
    "donkey": (
        "A donkey stood in the lane. The donkey was stubborn, and {they} had to squeeze past it.",
        "A farmer pulled at a donkey. The donkey was stubborn and did not move one inch.",
    ),
    "lamb": (
        "A lamb came up to the fence. The lamb was gentle and let {them} pat its head.",
        "{Group} stopped to pat a lamb. The lamb was gentle, and its wool felt nice.",
    ),
    "hedgehog": (
        "A hedgehog curled up under a leaf. The hedgehog was prickly, so {they} did not touch it.",
        "{Group} found a hedgehog. The hedgehog was prickly, but it had a sweet little face.",
    ),
    "deer": (
        "A deer stood at the edge of the trees. The deer was shy and ran off without a sound.",
        "{Group} saw a deer. The deer was shy, so {they} kept very still.",
    ),
    "kitten": (
        "A kitten peeked out of a [basket|flower pot]. The kitten was curious and followed {them}"
        " for a while.",
        "A kitten sat by a fence. The kitten was curious, and it sniffed at {their} [shoes|bag].",
    ),
    "spider": (
        "A spider mended its web between two posts. The spider was patient and did not hurry.",
        "The wind tore a web, and a spider began again. The spider was patient.",
    ),
    "goose": (
        "A goose stood in the lane. The goose was bossy and honked until {they} went around.",
        "A goose chased the gulls from the pond. The goose was bossy.",
    ),
    "mouse": (
        "A mouse peeked out of a hole. The mouse was tiny, no bigger than a walnut.",
        "A mouse ran along a wall. The mouse was tiny, but it carried a whole nut.",
    ),
}

# Animals met by animals, who talk.
MEET_WOODS = {
    "turtle": (
        "{Group} met a turtle on the way. The turtle was slow, but smiled and waved.",
        "A turtle came along. The turtle was slow and took a long time to say hello.",
    ),
    "rabbit": (
        "A rabbit ran by. The rabbit was quick and had no time to talk.",
        '{Group} greeted a rabbit. The rabbit was quick and called "Good day!" from far away'
        " already.",
    ),
    "fox": (
        "A fox leaned on a gate. The fox was clever and winked at {them}.",
        "{Group} met a fox with a riddle. The fox was clever, and nobody could guess it.",
    ),
    "owl": (
        'An owl looked down from a branch. The owl was wise and said, "Take your time."',
        "{Group} passed the tree of an owl. The owl was wise and knew every star by name.",
    ),
    "bee": (
        "A bee buzzed past. The bee was busy and did not stop to chat.",
        "{Group} said hello to a bee. The bee was busy and only hummed.",
    ),
    "peacock": (
        "A peacock stood in the middle of the way. The peacock was proud and waited for a kind"
        " word.",
        "{Group} met a peacock. The peacock was proud and spread a fan of blue and green.",
    ),
    "cat": (
        "A cat lay in the hay. The cat was lazy and only yawned.",
        "{Group} stepped over a sleeping cat. The cat was lazy and did not wake up.",
    ),
    "dog": (
        "A dog guarded a farm. The dog was loyal and barked a friendly hello.",
        "{Group} met a dog at a crossing. The dog was loyal and waited there for a friend.",
    ),
    "donkey": (
        "A donkey sat in the middle of the way. The donkey was stubborn and did not move one inch.",
        "{Group} met a donkey. The donkey was stubborn and said no to everything.",
    ),
    "monkey": (
        "A monkey swung from a branch. The monkey was silly and wore a leaf as a hat.",
        "{Group} heard a monkey giggle. The monkey was silly and stuck out its tongue.",
        'A monkey walked by on two hands. The monkey was silly and said, "Good night!" at noon.',
    ),
    "lamb": (
        "{Group} met a lamb in the clover. The lamb was gentle and offered {them} some.",
        "A lamb came up to {them}. The lamb was gentle and spoke in a low voice.",
    ),
    "parrot": (
        "A parrot called from a tree. The parrot was noisy, and the whole valley could hear it.",
        "{Group} met a parrot. The parrot was noisy and said everything twice.",
    ),
    "hedgehog": (
        "A hedgehog trotted by. The hedgehog was prickly, so nobody came too close.",
        "{Group} met a hedgehog with an apple on its back. The hedgehog was prickly, and that was"
        " handy.",
    ),
    "bear": (
        "A bear carried a log. The bear was strong and did it with one paw.",
        "{Group} met a bear at the mill. The bear was strong and turned the wheel alone.",
    ),
    "giraffe": (
        "A giraffe looked over the treetops. The giraffe was tall and could see for miles.",
        "{Group} greeted a giraffe. The giraffe was tall and had to bend down to hear.",
    ),
    "elephant": (
        "{Group} met an elephant. The elephant was huge, and the ground shook at every step.",
        "An elephant took a bath. The elephant was huge, and the whole pond ran over.",
    ),
    "lion": (
        "A lion lay on a rock. The lion was brave and watched over everyone.",
        "{Group} met a lion. The lion was brave and had chased the wolves away that night.",
    ),
    "deer": (
        "A deer peeked out of the bushes. The deer was shy and only nodded.",
        "{Group} saw a deer by a spring. The deer was shy and whispered hello.",
    ),
    "kitten": (
        "A kitten hopped along behind {them}. The kitten was curious and asked a hundred"
        " questions.",
        "{Group} met a kitten. The kitten was curious and wanted to know everything.",
    ),
    "spider": (
        "A spider worked on a web. The spider was patient and tied every knot with care.",
        "{Group} ducked under a web. The spider was patient and had worked on it all week.",
    ),
    "goose": (
        'A goose blocked the way. The goose was bossy and said, "Walk on the left, please!"',
        "{Group} met a goose. The goose was bossy and told {them} to stand up straight.",
    ),
    "mouse": (
        "A mouse sat under a mushroom. The mouse was tiny and squeaked a hello.",
        "{Group} almost stepped on a mouse. The mouse was tiny but had a big voice.",
    ),
}

# Where somebody lives: ends the sentence that comes before, and states the fact.
PLACE = {
    "lake": (
        "by a lake. The lake was deep",
        "on the shore of a lake. The lake was deep and clear",
    ),
    "river": (
        "by a river. The river was wide",
        "not far from a river. The river was wide and calm",
    ),
    "forest": (
        "near a forest. The forest was dark",
        "at the edge of a forest. The forest was dark",
    ),
    "mountain": (
        "at the foot of a mountain. The mountain was high",
        "on a mountain. The mountain was high",
    ),
    "bridge": (
        "next to a bridge. The bridge was narrow",
        "near a bridge. The bridge was narrow",
    ),
    "road": (
        "at the end of a road. The road was long",
        "by a road. The road was long and quiet",
    ),
    "hill": (
        "on a hill. The hill was steep",
        "at the top of a hill. The hill was steep",
    ),
    "castle": (
        "near a castle. The castle was grand",
        "behind a castle. The castle was grand",
    ),
    "path": (
        "at the end of a path. The path was crooked",
        "by a path. The path was crooked",
    ),
    "oak": (
        "beside an oak. The oak was old",
        "in the shade of an oak. The oak was old",
    ),
    "market": (
        "near the market. The market was crowded",
        "behind the market. The market was crowded",
    ),
    "cave": ("not far from a cave. The cave was damp",),
}

# Around the house, when something is about to begin.
YARD = {
    "drum": ("From somewhere came the sound of a drum. The drum was loud.",),
    "vase": ("On a window sill stood a vase. The vase was fragile, so nobody played too close.",),
    "ball": (
        "Somebody had left a ball behind. The ball was round, and it rolled away at a touch.",
    ),
    "peach": ("A peach hung over the fence. The peach was juicy, but it was not theirs.",),
    "carrot": ("In the grass lay a carrot. The carrot was crunchy, and ants had found it.",),
    "sun": (
        "The sun was bright, and everything smelled of grass.",
        "The sun was bright.",
        "The sun was bright, and the birds sang.",
    ),
    "cloud": (
        "Above {them} hung a cloud. The cloud was fluffy.",
        "One cloud sailed by. The cloud was fluffy, like [cotton|wool|whipped cream].",
    ),
    "oak": (
        "Nearby stood an oak. The oak was old and gave shade.",
        "An oak spread its branches over {them}. The oak was old.",
    ),
    "puddle": (
        "There lay a puddle from the last rain. The puddle was shallow.",
        "A sparrow took a bath in a puddle. The puddle was shallow.",
    ),
    "feather": (
        "A feather floated by. The feather was light and would not come down.",
        "A feather lay in the grass. The feather was light, and a breath of wind took it away.",
    ),
    "hill": (
        "Behind the house rose a hill. The hill was steep, and sheep stood on it.",
        "A cart came down the hill. The hill was steep, and the driver held on tight.",
    ),
    "path": (
        "A path led past the place. The path was crooked, and nobody hurried along it.",
        "A path wound through the grass. The path was crooked.",
    ),
    "road": (
        "Nobody came down the road. The road was long and empty.",
        "A cart rattled along the road. The road was long, and the cart took its time.",
    ),
    "river": (
        "Not far away flowed a river. The river was wide, and its water shone.",
        "A boat went by on the river. The river was wide.",
    ),
    "lake": (
        "Behind the trees glittered a lake. The lake was deep.",
        "A swan glided over the lake. The lake was deep and still.",
    ),
    "mountain": (
        "Far away they could see a mountain. The mountain was high.",
        "Mist hung around the mountain. The mountain was high.",
    ),
    "forest": (
        "A cuckoo called from the forest. The forest was dark, and nobody answered.",
        "Behind the fence began the forest. The forest was dark.",
    ),
    "ladder": (
        "A ladder leaned against {a tree}. The ladder was wobbly.",
        "A ladder lay in the grass. The ladder was wobbly, so nobody used it.",
    ),
    "market": ("From the market came a buzz of voices. The market was crowded.",),
    "blanket": (
        "On the line hung a blanket. The blanket was warm from the air.",
        "Somebody had left a blanket on the grass. The blanket was warm.",
    ),
    "coin": (
        "Something glittered in the grass. It was a coin. The coin was shiny.",
        "A magpie flew by with a coin. The coin was shiny, as magpies like it.",
    ),
}

BEACH = {
    "sun": (
        "The sun was bright, and the sea sparkled.",
        "The sun was bright. It tickled their noses.",
    ),
    "cloud": ("One cloud sailed by. The cloud was fluffy and looked like a [sheep|seal|ship].",),
    "ball": ("A ball rolled past. The ball was round, and the wind chased it along the shore.",),
    "feather": ("A gull had lost a feather. The feather was light, and off it flew again.",),
    "coin": ("They found a coin in the sand. The coin was shiny. Perhaps a pirate had lost it.",),
    "puddle": ("Behind a rock lay a puddle. The puddle was shallow, and a shrimp lived in it.",),
    "blanket": ("{Parent} sat on a blanket and read. The blanket was warm from the sand.",),
    "peach": ("They shared a peach. The peach was juicy, and there was sand on it.",),
    "mountain": ("Across the bay stood a mountain. The mountain was high and blue.",),
    "lemon": ("A man sold ice with lemon. The lemon was sour, and they made funny faces.",),
}

SNOW = {
    "oak": ("An oak wore a white cap. The oak was old and did not mind.",),
    "hill": ("They slid down a hill. The hill was steep, and the wind whistled.",),
    "road": ("There were no tracks on the road. The road was long and white.",),
    "sun": ("The sun was bright, and the snow glittered.",),
    "forest": ("Behind the fields stood the forest. The forest was dark against the snow.",),
    "fox": ("A fox ran across the field. The fox was clever and walked in its own tracks.",),
    "dog": ("A dog ran along with them. The dog was loyal and ate snow.",),
    "cat": ("A cat put out one paw. The cat was lazy and went back inside.",),
    "lake": ("They threw snowballs at the lake. The lake was deep, and they stayed on the shore.",),
}

# Somebody looks on when a thing has just gone wrong or well.
WATCH = {
    "turtle": (
        "A turtle watched it all. The turtle was slow, and so was its smile.",
        "A turtle looked up. The turtle was slow and looked down again a minute later.",
    ),
    "rabbit": (
        "A rabbit looked on. The rabbit was quick and hid behind a leaf.",
        "A rabbit had seen it. The rabbit was quick and ran to tell the others.",
    ),
    "fox": (
        "A fox watched from the bushes. The fox was clever but kept its advice to itself.",
        "A fox peeked around a corner. The fox was clever, and it grinned.",
    ),
    "owl": (
        "An owl watched from a branch. The owl was wise and said nothing.",
        "An owl opened one eye. The owl was wise, and it closed the eye again.",
    ),
    "bee": (
        "Only a bee saw it. The bee was busy and flew on.",
        "A bee flew past. The bee was busy and did not even look.",
    ),
    "peacock": (
        "A peacock watched. The peacock was proud and turned away.",
        "A peacock looked on. The peacock was proud, and it lifted its beak.",
    ),
    "cat": (
        "A cat watched from a fence. The cat was lazy and only yawned.",
        "A cat opened one eye. The cat was lazy, and that was enough for it.",
    ),
    "dog": (
        "A dog watched. The dog was loyal and wagged its tail.",
        "A dog came up and sat down close by. The dog was loyal.",
    ),
    "donkey": (
        "A donkey looked over the fence. The donkey was stubborn and stayed to see the end of it.",
        "A donkey shook its head. The donkey was stubborn and shook it again.",
    ),
    "lamb": (
        "A lamb looked on. The lamb was gentle and came a little closer.",
        "A lamb looked over the fence. The lamb was gentle.",
    ),
    "hedgehog": (
        "A hedgehog looked up from the leaves. The hedgehog was prickly, but it had kind eyes.",
        "A hedgehog trotted past. The hedgehog was prickly and left a trail in the leaves.",
    ),
    "deer": (
        "A deer peeked through the twigs. The deer was shy and held its breath.",
        "A deer watched from far away. The deer was shy.",
    ),
    "kitten": (
        "A kitten came to see. The kitten was curious.",
        "A kitten peeked around the corner. The kitten was curious and wanted to know everything.",
    ),
    "spider": (
        "A spider watched from its web. The spider was patient and had seen worse.",
        "A spider hung from a twig and watched. The spider was patient.",
    ),
    "goose": (
        "A goose watched. The goose was bossy and honked at everyone.",
        "A goose walked up and honked. The goose was bossy.",
    ),
    "mouse": (
        "A mouse looked on. The mouse was tiny, and nobody noticed it.",
        "A mouse peeked out of its hole. The mouse was tiny, but it saw everything.",
    ),
    "parrot": (
        'A parrot sat in a tree. The parrot was noisy. "Oh dear, oh dear!" it cried.',
        "A parrot laughed out loud. The parrot was noisy.",
    ),
}

WATCH_WOODS = WATCH | {
    "bear": ("A bear looked on. The bear was strong, but it did not meddle.",),
    "elephant": ("An elephant looked over the bushes. The elephant was huge, but nobody saw it.",),
    "giraffe": (
        "A giraffe saw it from above. The giraffe was tall and saw most things.",
        "A giraffe bent down to look. The giraffe was tall, so it took a while.",
    ),
    "lion": ("A lion blinked in the sun. The lion was brave, but this was too much for it.",),
    "monkey": (
        "A monkey giggled in a tree. The monkey was silly.",
        "A monkey clapped with all four hands. The monkey was silly.",
    ),
}
